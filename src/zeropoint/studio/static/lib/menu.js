// The button of the sidebar that shows its links, on screens that are too narrow for both.

export function foldMenu() {
  const menu = document.querySelector("button.menu");
  menu?.addEventListener("click", () => {
    const open = menu.getAttribute("aria-expanded") !== "true";
    menu.setAttribute("aria-expanded", String(open));
  });
}
