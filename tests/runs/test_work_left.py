from forecastlab.runs.work_left import work_left


def test_jobs_that_have_ended_tell_how_long_the_others_take():
    # two took 100 s; one runs for 40 s; three wait: 60 + 300 s of work for one process
    assert work_left([90, 110], [(40, 0.1)], 3, 1) == "about 6 min left"
    assert work_left([90, 110], [(40, 0.1), (40, 0.1)], 2, 2) == "about 3 min left"  # (60 + 60 + 200) / 2 = 160 s


def test_before_a_job_has_ended_the_epochs_give_a_bound():
    assert work_left([], [(10, 0.25)], 1, 1) == "at most 70 s left"  # 30 s of this one and 40 s of the other


def test_a_job_that_is_older_than_the_others_became_is_judged_by_its_own_share():
    assert work_left([10], [(30, 0.5)], 0, 1) == "about 30 s left"


def test_the_longest_job_is_waited_for_whatever_the_number_of_processes():
    assert work_left([80], [(0, 0.0), (70, 0.9)], 0, 8) == "about 80 s left"


def test_nothing_is_said_without_a_measure_or_at_the_end():
    assert work_left([], [(3, 0.0)], 5, 1) == ""
    assert work_left([5], [], 0, 1) == ""
