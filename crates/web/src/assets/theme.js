// Runs before anything is drawn: what was chosen here earlier wins over what the system prefers.
"use strict";
{
  const kept = localStorage.getItem("theme");
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
}
