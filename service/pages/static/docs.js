// Narrows the operations down to those that hold every word that is typed. Without this script the page shows them all.
import "./shop.js";

const input = document.getElementById("find");
const operations = [...document.querySelectorAll(".docs details")].map((element) => ({ element, text: element.textContent.toLowerCase() }));
const links = new Map([...document.querySelectorAll(".docs nav a")].map((link) => [link.hash.slice(1), link.parentElement]));

function find() {
  const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  for (const { element, text } of operations) {
    const fits = words.every((word) => text.includes(word));
    found += fits ? 1 : 0;
    element.hidden = !fits;
    const link = links.get(element.id);
    if (link) link.hidden = !fits;
  }
  document.getElementById("found").textContent = words.length ? `${found} operations` : "";
}

input.closest("label").hidden = false;
input.addEventListener("input", find);
