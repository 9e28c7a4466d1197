// Opens the portal for people at once. A page that is only being fetched ahead of time has to wait until it is looked at.
const open = () => document.getElementById("open").requestSubmit();
if (document.prerendering) {
  document.addEventListener("prerenderingchange", open, { once: true });
} else if (document.visibilityState === "visible") {
  open();
} else {
  document.addEventListener("visibilitychange", open, { once: true });
}
