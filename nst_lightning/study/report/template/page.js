"use strict";
const tiles = Array.from(document.querySelectorAll("button.tile"));
const byId = (id) => document.getElementById(id);
const viewer = byId("viewer"), shown = byId("shown"), beneath = byId("beneath");
const against = byId("against"), slider = byId("slider");
let current = 0;

function show(number) {
  current = (number + tiles.length) % tiles.length;
  const tile = tiles[current], image = tile.querySelector("img");
  shown.src = image.src;
  shown.alt = image.alt;
  shown.parentElement.style.setProperty("--ratio", image.getAttribute("width") / image.getAttribute("height"));
  byId("viewer-title").textContent = `${current + 1} of ${tiles.length}: ${tile.dataset.title}`;
  for (const option of against.options) option.disabled = option.value !== "" && !tile.dataset[option.value];
  if (against.selectedOptions[0].disabled) against.value = "";
  compare();
  if (!viewer.open) viewer.showModal();
}

function compare() {
  const other = against.value ? tiles[current].dataset[against.value] : "";
  beneath.hidden = slider.hidden = !other;
  if (!other) return;
  beneath.src = other;
  beneath.alt = `The ${against.value}`;
  // The other picture lies on top and is clipped from the left.
  beneath.style.clipPath = `inset(0 0 0 ${slider.value}%)`;
}

tiles.forEach((tile, number) => tile.addEventListener("click", () => show(number)));
byId("previous").addEventListener("click", () => show(current - 1));
byId("next").addEventListener("click", () => show(current + 1));
against.addEventListener("change", compare);
slider.addEventListener("input", compare);
viewer.addEventListener("close", () => tiles[current].focus());
document.addEventListener("keydown", (event) => {
  // The slider and the list use the arrow keys themselves.
  if (!viewer.open || event.target === slider || event.target === against) return;
  if (event.key === "ArrowLeft") show(current - 1);
  if (event.key === "ArrowRight") show(current + 1);
});
