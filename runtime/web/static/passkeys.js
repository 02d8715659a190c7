/* Passkeys. A form with data-passkey (an address) asks there what the authenticator is to be asked, and sends
   the answer as its field "answer". Without JavaScript, or where the browser has none, the form stays hidden. */
"use strict";
(() => {
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

  const asked = (options) => {
    options.challenge = bytes(options.challenge);
    if (options.user) options.user.id = bytes(options.user.id);
    for (const list of ["excludeCredentials", "allowCredentials"])
      for (const one of options[list] || []) one.id = bytes(one.id);
    return { publicKey: options };
  };

  const answer = (made) => {
    const response = { clientDataJSON: text(made.response.clientDataJSON) };
    for (const name of ["attestationObject", "authenticatorData", "signature", "userHandle"])
      if (made.response[name]) response[name] = text(made.response[name]);
    return JSON.stringify({ id: made.id, rawId: text(made.rawId), type: made.type, response });
  };

  const start = (form) => {
    const fault = form.querySelector("[data-fault]");
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      fault.hidden = true;
      try {
        const reply = await fetch(form.dataset.passkey, { headers: { Accept: "application/json" } });
        if (!reply.ok) throw new Error(String(reply.status));
        const options = asked(await reply.json());
        const made = options.publicKey.user
          ? await navigator.credentials.create(options)
          : await navigator.credentials.get(options);
        form.elements.answer.value = answer(made);
        form.submit();
      } catch (error) {
        fault.hidden = false;
        fault.focus();
      }
    });
  };

  for (const form of document.querySelectorAll("form[data-passkey]")) {
    const here = window.PublicKeyCredential && location.origin === form.dataset.origin;
    for (const part of document.querySelectorAll(here ? "[data-passkey-there]" : "[data-passkey-elsewhere]"))
      part.hidden = false;
    if (here) start(form);
  }
})();
