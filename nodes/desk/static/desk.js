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
