// Uploads in pieces: several files, paused, cut and resumed, until all of each is there.
// The form works without this; what is said here is in nodes/desk/compose/upload_views.py. The server keeps the mark
// of each unfinished file, so a reload goes on when the file is chosen again, and no name stays in this browser.
(() => {
  "use strict";
  const box = document.getElementById("upload");
  if (!box) return;
  const words = box.dataset, token = box.querySelector("[name=csrf_token]").value;
  const input = box.querySelector("[type=file]"), list = document.getElementById("coming");
  const live = document.getElementById("upload-said");
  const FIRST_WAIT_MS = 1000, LONGEST_WAIT_MS = 30000, AT_ONCE = 2, queue = [];
  let running = 0;

  const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
  const hex = (bytes) => Array.from(new Uint8Array(bytes), (b) => b.toString(16).padStart(2, "0")).join("");
  const base64 = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes)));
  const hash = (bytes) => (window.crypto && crypto.subtle ? crypto.subtle.digest("SHA-256", bytes) : null);
  const mark = (file) => `${file.name}|${file.size}|${file.lastModified}`;

  class Refused extends Error {}
  class Paused extends Error {}

  async function ask(url, options) {
    const answer = await fetch(url, { credentials: "same-origin", redirect: "manual", ...options,
      headers: { "X-CSRFToken": token, "Wasl-Language": document.documentElement.lang, ...(options.headers || {}) } });
    if (answer.type === "opaqueredirect") { location.reload(); throw new Refused(words.failed); }
    if (answer.status >= 500 && answer.status !== 507) throw new Error("busy");
    return answer;
  }

  async function why(answer) {
    try { return (await answer.json()).detail || words.failed; } catch { return words.failed; }
  }

  class Row {
    constructor(file) {
      this.file = file; this.paused = false; this.gone = false; this.at = null; this.digests = [];
      this.item = document.createElement("li");
      const name = document.createElement("bdi");
      name.textContent = file.name;
      this.bar = document.createElement("progress");
      this.bar.max = file.size || 1; this.bar.value = 0;
      this.bar.setAttribute("aria-label", file.name);
      this.said = document.createElement("span");
      this.said.className = "soft";
      this.pause = this.button(words.pause, () => { this.paused = !this.paused; this.show(); if (!this.paused && this.resume) this.resume(); });
      this.stop = this.button(words.remove, () => this.remove());
      this.item.append(name, this.bar, this.said, this.pause, this.stop);
      list.append(this.item);
      this.show(words.waiting);
    }
    button(text, act) {
      const made = document.createElement("button");
      made.type = "button"; made.className = "button quiet slim"; made.textContent = text;
      made.addEventListener("click", act);
      return made;
    }
    show(text) {
      this.pause.textContent = this.paused ? words.resume : words.pause;
      const share = Math.floor((100 * this.bar.value) / this.bar.max);
      this.said.textContent = text || (this.paused ? words.paused : `\u2066${share} %\u2069`);
    }
    async rest() {
      if (this.gone) throw new Paused();
      if (this.paused) { this.show(); await new Promise((go) => { this.resume = go; }); }
      if (this.gone) throw new Paused();
    }
    async remove() {
      this.gone = true;
      if (this.resume) this.resume();
      if (this.at) await ask(`${this.at}/remove`, { method: "POST", redirect: "follow" }).catch(() => null);
      this.item.remove();
    }
    async announce() {
      const form = new FormData();
      form.set("name", this.file.name); form.set("size", this.file.size); form.set("mark", mark(this.file));
      const answer = await ask(words.upload, { method: "POST", body: form });
      if (answer.status !== 201) throw new Refused(await why(answer));
      const told = await answer.json();
      this.at = told.at; this.piece = told.piece; this.bar.value = told.received;
      return told.received;
    }
    async digestOf(index) {
      if (this.digests[index] === undefined) {
        const bytes = await this.file.slice(index * this.piece, (index + 1) * this.piece).arrayBuffer();
        const digest = hash(bytes);
        this.digests[index] = digest && new Uint8Array(await digest);
      }
      return this.digests[index];
    }
    async send(offset) {
      await this.rest();
      const bytes = await this.file.slice(offset, offset + this.piece).arrayBuffer();
      const headers = { "Content-Type": "application/offset+octet-stream", "Upload-Offset": String(offset) };
      const digest = await this.digestOf(offset / this.piece);
      if (digest) headers["Upload-Checksum"] = `sha256 ${base64(digest)}`;
      const answer = await ask(this.at, { method: "PATCH", body: bytes, headers });
      if (answer.status === 409 && answer.headers.has("Upload-Offset")) return Number(answer.headers.get("Upload-Offset"));
      if (answer.status === 404) return this.announce();
      if (answer.status !== 204) throw new Refused(await why(answer));
      return Number(answer.headers.get("Upload-Offset"));
    }
    async finish() {
      const form = new FormData(), count = Math.ceil(this.file.size / this.piece);
      if (hash(new Uint8Array())) {
        const all = new Uint8Array(32 * count);
        for (let index = 0; index < count; index += 1) all.set(await this.digestOf(index), 32 * index);
        form.set("root", hex(await hash(all)));
      }
      const answer = await ask(`${this.at}/finish`, { method: "POST", body: form });
      if (answer.status !== 204) throw new Refused(await why(answer));
    }
    async run() {
      let wait = FIRST_WAIT_MS, offset = null;
      for (;;) {
        try {
          await this.rest();
          if (offset === null) offset = await this.announce();
          while (offset < this.file.size) {
            offset = await this.send(offset);
            this.bar.value = offset; this.show(); wait = FIRST_WAIT_MS;
          }
          this.show(words.checking);
          await this.finish();
          return;
        } catch (error) {
          if (error instanceof Refused || error instanceof Paused) throw error;
          this.show(words.cut);
          await Promise.race([sleep(wait), new Promise((go) => addEventListener("online", go, { once: true }))]);
          wait = Math.min(LONGEST_WAIT_MS, 2 * wait); offset = null;
        }
      }
    }
  }

  async function refresh() {
    const answer = await ask(words.upload, { method: "GET" });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.getElementById("files").replaceWith(document.adoptNode(page.getElementById("files")));
    for (const row of document.querySelectorAll("#files [data-unfinished]"))
      if (queue.some((one) => !one.gone && one.at === row.dataset.unfinished)) row.remove();
  }

  async function work() {
    if (running >= AT_ONCE) return;
    const row = queue.find((one) => !one.begun && !one.gone);
    if (!row) return;
    row.begun = true; running += 1;
    try {
      await row.run();
      row.gone = true; row.item.remove();
      live.textContent = words.done.replace("{}", row.file.name);
    } catch (error) {
      row.pause.remove();
      if (!(error instanceof Paused)) { row.show(error.message); row.item.classList.add("faulty"); live.textContent = `${row.file.name}: ${error.message}`; }
    }
    running -= 1;
    await refresh().catch(() => null);
    work();
  }

  function add(files) {
    for (const file of files) queue.push(new Row(file));
    for (let index = 0; index < AT_ONCE; index += 1) work();
  }

  const take = () => { const chosen = [...input.files]; input.value = ""; add(chosen); };
  input.addEventListener("change", take);
  for (const name of ["dragenter", "dragover"])
    box.addEventListener(name, (event) => { event.preventDefault(); box.classList.add("over"); });
  for (const name of ["dragleave", "drop"]) box.addEventListener(name, () => box.classList.remove("over"));
  box.addEventListener("drop", (event) => { event.preventDefault(); add([...event.dataTransfer.files].filter((file) => file.size || file.type)); });
  addEventListener("beforeunload", (event) => { if (queue.some((row) => row.begun && !row.gone && !row.item.classList.contains("faulty"))) event.preventDefault(); });
  for (const one of box.querySelectorAll("[data-plain]")) one.hidden = true;
  for (const one of box.querySelectorAll("[data-scripted]")) one.hidden = false;
  if (input.files.length) take();  // chosen before this script was there
})();
