
for (const place of document.querySelectorAll(".searched")) {
  const table = place.querySelector("table");
  const box = place.querySelector("input");
  const told = place.querySelector("output");
  const rows = [...table.tBodies[0].rows];
  const names = rows.map(row => row.cells[0].textContent.toLowerCase());
  const heads = [...table.tHead.rows[0].cells];

  const find = () => {
    const sought = box.value.trim().toLowerCase();
    let found = 0;
    rows.forEach((row, number) => {
      row.hidden = !names[number].includes(sought);
      found += !row.hidden;
    });
    told.textContent = `${found.toLocaleString("en")} of ${rows.length.toLocaleString("en")}`;
  };

  const sort = (head, column) => {
    const texts = rows.map(row => row.cells[column].textContent);
    const numeric = !head.classList.contains("text");
    const values = numeric ? texts.map(text => text === "" ? NaN : Number(text.replaceAll(",", ""))) : texts;
    const now = head.getAttribute("aria-sort");
    const down = now ? now === "ascending" : numeric;
    const compare = numeric ? (a, b) => a - b : new Intl.Collator("en", { numeric: true }).compare;
    const order = rows.map((_, number) => number).filter(number => values[number] === values[number]);
    order.sort((a, b) => (down ? -1 : 1) * compare(values[a], values[b]));
    const empty = rows.map((_, number) => number).filter(number => values[number] !== values[number]);
    table.tBodies[0].append(...[...order, ...empty].map(number => rows[number]));
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
  };

  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    button.onclick = () => sort(head, column);
    head.replaceChildren(button);
  });
  box.oninput = find;
  find();
  place.querySelector(".tools").hidden = false;
}
