/* What pages add to plain HTML and htmx. Every page works without it. */

const root = document.documentElement;
const minute = 60;
const hour = 60 * minute;
const day = 24 * hour;

/* ---- theme ---- */
function switchTheme() {
  root.dataset.bsTheme = root.dataset.bsTheme === "dark" ? "light" : "dark";
  try {
    localStorage.setItem("zoobatch-theme", root.dataset.bsTheme);
  } catch {
    /* forbidden storage: the choice lasts for this page */
  }
}

/* ---- relative times tick here, so that the server need not send a page for them ---- */
function roughly(seconds) {
  if (seconds >= day) return `${Math.floor(seconds / day)} d`;
  if (seconds >= hour) return `${Math.floor(seconds / hour)} h`;
  if (seconds >= minute) return `${Math.floor(seconds / minute)} min`;
  return `${Math.max(0, Math.floor(seconds))} s`;
}

function exactly(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < minute) return `${whole} s`;
  const two = (value) => String(value).padStart(2, "0");
  if (whole < hour) return `${Math.floor(whole / minute)} m ${two(whole % minute)} s`;
  if (whole < 2 * day) return `${Math.floor(whole / hour)} h ${two(Math.floor((whole % hour) / minute))} m`;
  return `${Math.floor(whole / day)} d ${Math.floor((whole % day) / hour)} h`;
}

function tick() {
  if (document.hidden) return;
  const now = Date.now();
  for (const time of document.querySelectorAll("time[data-ago]")) {
    setText(time, `${roughly((now - Date.parse(time.dateTime)) / 1000)} ago`);
  }
  for (const time of document.querySelectorAll("[data-since]")) {
    setText(time, exactly((now - Date.parse(time.dataset.since)) / 1000));
  }
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/* ---- tabs: a group remembers its choice, also when a poll replaces it ---- */
const chosenTabs = new Map();

function showTab(list, panel) {
  for (const tab of list.querySelectorAll("[aria-controls]")) {
    const isChosen = tab.getAttribute("aria-controls") === panel;
    tab.setAttribute("aria-selected", String(isChosen));
    tab.tabIndex = isChosen ? 0 : -1;
    const target = document.getElementById(tab.getAttribute("aria-controls"));
    if (target) target.hidden = !isChosen;
  }
}

function applyTabs() {
  for (const list of document.querySelectorAll("[data-tabs]")) {
    const first = list.querySelector("[aria-controls]")?.getAttribute("aria-controls");
    const chosen = chosenTabs.get(list.dataset.tabs);
    list.hidden = false;
    showTab(list, chosen && document.getElementById(chosen) ? chosen : first);
  }
}

function moveTab(event) {
  const list = event.target.closest("[data-tabs]");
  if (!list || !["ArrowLeft", "ArrowRight"].includes(event.key)) return;
  const tabs = [...list.querySelectorAll("[aria-controls]")];
  const step = event.key === "ArrowRight" ? 1 : tabs.length - 1;
  const next = tabs[(tabs.indexOf(event.target) + step) % tabs.length];
  next.focus();
  next.click();
}

/* ---- small controls ---- */
function place(menu) {
  const button = document.querySelector(`[popovertarget="${menu.id}"]`);
  if (!button) return;
  const box = button.getBoundingClientRect();
  const left = Math.min(box.right - menu.offsetWidth, innerWidth - menu.offsetWidth - 8);
  const below = box.bottom + 4;
  const fits = below + menu.offsetHeight + 4 <= innerHeight;
  menu.style.left = `${Math.max(8, left)}px`;
  menu.style.top = `${fits ? below : Math.max(8, box.top - menu.offsetHeight - 4)}px`;
}

function step(button) {
  const input = button.parentElement.querySelector("input");
  if (button.dataset.step === "up") input.stepUp();
  else input.stepDown();
  input.dispatchEvent(new Event("input", { bubbles: true }));
  input.dispatchEvent(new Event("change", { bubbles: true }));
}

async function copy(button) {
  await navigator.clipboard.writeText(button.dataset.copy);
  const label = button.getAttribute("aria-label");
  button.setAttribute("aria-label", "Copied");
  button.classList.add("done");
  setTimeout(() => {
    button.setAttribute("aria-label", label);
    button.classList.remove("done");
  }, 1500);
}

/* A typed name opens the button; the server checks it again. */
function guardConfirmations() {
  for (const input of document.querySelectorAll("[data-confirm]")) {
    const button = input.form?.querySelector("[type=submit]");
    if (button) button.disabled = input.value !== input.dataset.confirm;
  }
}

/* Parts of a form that belong to one choice: shown for it, left out of the request otherwise. */
function showChosenParts() {
  for (const part of document.querySelectorAll("[data-for]")) {
    const [name, ...values] = part.dataset.for.split(" ");
    const chosen = document.querySelector(`[name="${name}"]:checked, select[name="${name}"]`);
    part.hidden = !values.includes(chosen?.value ?? "");
  }
}

document.addEventListener("click", (event) => {
  const target = event.target.closest("[data-theme-switch], [data-step], [data-copy], [data-dismiss], [data-tabs] [aria-controls]");
  if (!target) return;
  if ("themeSwitch" in target.dataset) switchTheme();
  else if (target.dataset.step) step(target);
  else if ("copy" in target.dataset) copy(target);
  else if ("dismiss" in target.dataset) target.closest(".z-al, .z-toast").remove();
  else {
    const list = target.closest("[data-tabs]");
    chosenTabs.set(list.dataset.tabs, target.getAttribute("aria-controls"));
    showTab(list, target.getAttribute("aria-controls"));
  }
});
document.addEventListener("keydown", moveTab);
document.addEventListener("toggle", (event) => event.newState === "open" && event.target.popover && place(event.target), true);
document.addEventListener("input", guardConfirmations);
document.addEventListener("change", showChosenParts);

/* A form is sent once: its button says so and stays as wide as it was. */
document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (!button || event.target.method !== "post" || event.defaultPrevented) return;
  if (button.getAttribute("aria-disabled") === "true") {
    event.preventDefault();
    return;
  }
  button.setAttribute("aria-disabled", "true");
});
addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  for (const button of document.querySelectorAll("form [type=submit][aria-disabled=true]")) button.removeAttribute("aria-disabled");
});

/* ---- polls ---- */
/* A hidden tab asks for nothing; when it is seen again the next interval brings it up to date. */
document.addEventListener("htmx:before:request", (event) => {
  if (document.hidden && event.detail.ctx.sourceEvent?.type === "every") event.preventDefault();
});

/* A poll that was sent to the sign-in page must not paste that page into a table. */
document.addEventListener("htmx:before:response", (event) => {
  const answer = event.detail.ctx.response.raw;
  if (answer.redirected && new URL(answer.url).pathname.startsWith("/accounts/")) {
    event.preventDefault();
    location.reload();
  }
});

function refresh() {
  applyTabs();
  guardConfirmations();
  showChosenParts();
  tick();
}

document.addEventListener("htmx:after:swap", refresh);
setInterval(tick, 1000);
refresh();

/* An invalid form comes back with a list of what to change: start there. */
document.getElementById("form-errors")?.focus();
