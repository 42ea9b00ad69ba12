"""From any file or frame to a frame with a row per time and series: what was found out on the way is said."""
