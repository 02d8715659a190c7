/* The end of a session: a warning before it, and the way out of the page when it has come.
   Pages work without this; then the next click asks to sign in. */
(() => {
  "use strict";
  const box = document.getElementById("ending");
  if (!box) return;
  const warnS = 120;
  const idleMs = Number(box.dataset.idle) * 1000;
  const endMs = Date.now() + Number(box.dataset.left) * 1000;
  let seenMs = Date.now();
  const over = () => Math.min(seenMs + idleMs, endMs);
  const leave = () => { location.replace("/sign-in?ended=1&next=" + encodeURIComponent(location.pathname)); };
  const stay = async () => {
    const answer = await fetch("/stay", { redirect: "manual", credentials: "same-origin" });
    if (answer.status === 204) { seenMs = Date.now(); } else { leave(); }
  };
  box.addEventListener("close", stay);
  setInterval(() => {
    const leftMs = over() - Date.now();
    if (leftMs <= 0) { leave(); }
    else if (leftMs <= warnS * 1000 && !box.open) { box.showModal(); }
  }, 5000);
})();

/* A picture for which the desk had no turn (503) is asked for again, ten times; one that is damaged is not. */
(() => {
  "use strict";
  const most = 10;
  const tries = new WeakMap();
  const waiting = new WeakSet();
  const status = (image) => performance.getEntriesByName(image.src).at(-1)?.responseStatus;
  const again = (image) => {
    const times = (tries.get(image) ?? 0) + 1;
    if (waiting.has(image) || times > most) return;
    tries.set(image, times);
    waiting.add(image);
    setTimeout(() => {
      waiting.delete(image);
      if (status(image) === 503) image.src = image.src;
    }, 2000 + Math.random() * 1000);
  };
  document.addEventListener("error", (event) => {
    if (event.target instanceof HTMLImageElement) again(event.target);
  }, true);
  for (const image of document.images) { if (image.complete && !image.naturalWidth) again(image); }
})();
