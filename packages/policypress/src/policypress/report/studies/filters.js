// Filters: a rule for each value that is not chosen hides all that belongs to it, in tables and figures alike.
const box = document.getElementById("filters");
const form = box.querySelector("form");
const rules = document.head.appendChild(document.createElement("style"));
function apply() {
  const off = [...form.querySelectorAll("input:not(:checked)")];
  rules.textContent = off.map((input) =>
    `main [data-${input.dataset.name}="${CSS.escape(input.value)}"] { display: none !important; }`).join("\n");
  document.getElementById("hidden-count").textContent = off.length ? `(${off.length} hidden)` : "";
}
form.addEventListener("change", apply);
form.addEventListener("reset", () => setTimeout(apply));
if (innerWidth < 1140) box.open = false;
box.hidden = false;
apply();
