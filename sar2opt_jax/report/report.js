"use strict";
// Compares radar, a translation and the truth of one image under two sliders, enlarges images, and marks what scrolls.
(() => {
  const dialog = document.getElementById("closer");
  const part = (name) => dialog.querySelector(`[data-part="${name}"]`);
  const [stage, title, choice] = ["stage", "title", "choice"].map(part);
  const sliders = [part("sar-until"), part("translation-until")];
  const layers = {};
  for (const layer of ["sar", "translation", "truth"]) {
    layers[layer] = new Image();
    layers[layer].dataset.part = layer;
    stage.prepend(layers[layer]);
  }
  let zoom = 1;

  const divide = (moved) => {
    const [first, second] = sliders;
    if (Number(first.value) > Number(second.value)) (moved === first ? second : first).value = moved.value;
    stage.style.setProperty("--a", `${first.value}%`);
    stage.style.setProperty("--b", `${second.value}%`);
  };
  const enlarge = (factor) => {
    zoom = factor;
    stage.style.setProperty("--zoom", zoom);
    for (const button of dialog.querySelectorAll("[data-zoom]")) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.zoom) === zoom));
    }
  };
  const show = (layer, image) => {
    const copy = layers[layer];
    copy.hidden = !image;
    if (!image) return;
    copy.src = image.src;
    copy.alt = image.alt;
    copy.className = image.className;
  };
  const open = (image) => {
    const images = [...image.closest("[data-row]").querySelectorAll("img")];
    const sar = images.find((other) => other.dataset.role === "sar");
    const truth = images.find((other) => other.dataset.role === "truth");
    const others = images.filter((other) => !other.dataset.role);
    const compared = Boolean(sar && truth && others.length);
    dialog.dataset.compared = compared;
    choice.replaceChildren(...others.map((other) => new Option(other.dataset.name)));
    choice.onchange = () => show("translation", others[choice.selectedIndex]);
    choice.selectedIndex = others.includes(image) ? others.indexOf(image) : others.length - 1;
    title.textContent = compared ? image.closest("[data-row]").dataset.row : image.alt;
    show("sar", compared ? sar : null);
    show("truth", compared ? truth : image);
    if (compared) choice.onchange(); else show("translation", null);
    stage.style.setProperty("--ratio", image.width / image.height);
    sliders[0].value = 33;
    sliders[1].value = 67;
    divide(sliders[0]);
    enlarge(1);
    dialog.showModal();
  };

  for (const slider of sliders) slider.addEventListener("input", () => divide(slider));
  for (const button of dialog.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => enlarge(Number(button.dataset.zoom)));
  }
  const drag = (event) => {
    if (event.buttons !== 1 || dialog.dataset.compared !== "true" || zoom !== 1) return;
    const box = stage.getBoundingClientRect();
    const at = Math.min(100, Math.max(0, (100 * (event.clientX - box.left)) / box.width));
    if (event.type === "pointerdown") {
      const [a, b] = sliders.map((slider) => Number(slider.value));
      stage.moved = a === b ? sliders[at < a ? 0 : 1] : sliders[Math.abs(at - a) < Math.abs(at - b) ? 0 : 1];
      stage.setPointerCapture(event.pointerId);
      event.preventDefault();
    }
    if (!stage.moved) return;
    stage.moved.value = at;
    divide(stage.moved);
  };
  stage.addEventListener("pointerdown", drag);
  stage.addEventListener("pointermove", drag);
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());

  for (const image of document.querySelectorAll("[data-row] img")) {
    image.tabIndex = 0;
    image.setAttribute("role", "button");
    image.addEventListener("click", () => open(image));
    image.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      open(image);
    });
  }
  const button = document.getElementById("compare");
  button.addEventListener("click", () => open([...document.querySelectorAll(".opening img")].at(-1)));

  const measure = () => {
    for (const area of document.querySelectorAll(".scroll")) {
      area.toggleAttribute("data-overflows", area.scrollWidth > area.clientWidth + 1);
    }
  };
  addEventListener("resize", measure);
  measure();

  const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      for (const [name, link] of links) link.toggleAttribute("aria-current", name === target.id);
    }
  }, { rootMargin: "-20% 0px -75%" });
  for (const section of document.querySelectorAll("main section[id]")) seen.observe(section);
  document.documentElement.classList.add("scripted");
})();
