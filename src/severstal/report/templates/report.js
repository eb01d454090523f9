"use strict";
// Toggles, the probability overlay and its readout. Outlines and numbers are part of the page without this script.
const gallery = document.getElementById("strips");
const maps = JSON.parse(document.getElementById("maps").textContent);
const figures = [...document.querySelectorAll(".gallery-strip")];
const decoded = new Map(); // figure -> { class: Uint8ClampedArray of probabilities }
const truth = document.getElementById("show-truth");
const predicted = document.getElementById("show-predicted");
const probability = document.getElementById("show-probability");
const minProbability = document.getElementById("min-probability");
const zoom = document.getElementById("zoom");

/** The levels (0 to 255) of each class of a figure; decoded once. */
function levels(figure) {
  if (!decoded.has(figure)) decoded.set(figure, decode(figure));
  return decoded.get(figure);
}

async function decode(figure) {
  const { width, height } = figure.querySelector("canvas");
  const found = {};
  for (const [defect, source] of Object.entries(maps[figure.dataset.number])) {
    const image = new Image();
    image.src = source;
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, width, height).data;
    found[defect] = new Uint8ClampedArray(width * height);
    for (let i = 0; i < found[defect].length; i++) found[defect][i] = pixels[4 * i];
  }
  return found;
}

function colour(defect) {
  const sample = document.createElement("i");
  sample.className = `c${defect}`;
  document.body.append(sample);
  const hex = getComputedStyle(sample).getPropertyValue("--class").trim();
  sample.remove();
  return [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16));
}

/** Paint each pixel in the colour of its most probable class, with that probability as opacity, from the slider's value up. */
async function paint(figure) {
  const canvas = figure.querySelector("canvas");
  const levelsOfClass = await levels(figure);
  const minLevel = (255 * minProbability.value) / 100;
  const picture = new ImageData(canvas.width, canvas.height);
  for (const [defect, level] of Object.entries(levelsOfClass)) {
    const rgb = colour(defect);
    for (let i = 0; i < level.length; i++) {
      if (level[i] >= minLevel && level[i] > picture.data[4 * i + 3]) picture.data.set([...rgb, level[i]], 4 * i);
    }
  }
  canvas.getContext("2d", { willReadFrequently: true }).putImageData(picture, 0, 0);
}

function repaint() {
  document.getElementById("min-probability-text").textContent = `${minProbability.value} %`;
  if (probability.checked) figures.filter((figure) => !figure.hidden).forEach(paint);
}

async function showProbabilities(figure, event) {
  const strip = figure.querySelector(".strip");
  const { width, height } = figure.querySelector("canvas");
  const box = strip.getBoundingClientRect();
  const x = Math.min(width - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * width)));
  const y = Math.min(height - 1, Math.max(0, Math.floor(((event.clientY - box.top) / box.height) * height)));
  const readout = figure.querySelector(".readout");
  if (figure.dataset.group === "test") {
    readout.textContent = `column ${x}, row ${y}; the page holds probabilities of training strips only`;
    return;
  }
  const levelsOfClass = await levels(figure);
  const texts = Object.entries(levelsOfClass).map(([defect, level]) => `class ${defect} ${Math.round((100 * level[y * width + x]) / 255)} %`);
  readout.textContent = `column ${x}, row ${y}: ${texts.join(", ") || "every class below 5 % on the entire strip"}`;
}

function draw() {
  const group = document.querySelector("input[name=group]:checked").value;
  for (const figure of figures) figure.hidden = figure.dataset.group !== group;
  gallery.classList.toggle("without-truth", !truth.checked);
  gallery.classList.toggle("without-predicted", !predicted.checked);
  gallery.classList.toggle("with-probability", probability.checked);
  gallery.style.setProperty("--zoom", zoom.value);
  repaint();
}

document.querySelector(".tools").addEventListener("change", draw);
minProbability.addEventListener("input", repaint);
for (const figure of figures) {
  const strip = figure.querySelector(".strip");
  for (const kind of ["pointermove", "pointerdown"]) strip.addEventListener(kind, (event) => showProbabilities(figure, event));
}
const keys = { t: truth, p: predicted, m: probability };
document.addEventListener("keydown", (event) => {
  const box = keys[event.key];
  if (!box || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select")) return;
  box.checked = !box.checked;
  draw();
});
draw();
