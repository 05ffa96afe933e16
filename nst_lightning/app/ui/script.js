// Pasting and dropping onto a picture that is already there, the comparison by keyboard, and names of elements.
(() => {
  const give = (block, files) => {
    const input = block?.querySelector('input[type="file"]');
    const picture = [...files].find((file) => file.type.startsWith("image/"));
    if (!input || !picture) return false;
    const transfer = new DataTransfer();
    transfer.items.add(picture);
    input.files = transfer.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
    return true;
  };

  // Formats that the server decodes. It checks the content of each file; here others, such as SVG, stop early.
  const refuse = (event, files) => {
    const other = [...files].find((file) => !/^(image\/(png|jpeg|webp|gif|tiff|bmp)|video\/.*)$/.test(file.type));
    document.querySelectorAll(".refusal").forEach((text) => text.remove());
    if (!other) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (event.type === "change") event.target.value = "";
    const text = document.createElement("p");
    text.className = "notice refusal";
    text.setAttribute("role", "alert");
    text.textContent = `Expected a picture as png, jpeg, webp, gif, tiff or bmp, but got ${other.name}.`;
    event.target.closest(".pictures, .more")?.after(text);
  };
  document.addEventListener("change", (event) => {
    if (event.target.matches?.('input[type="file"]')) refuse(event, event.target.files);
  }, true);
  document.addEventListener("drop", (event) => refuse(event, event.dataTransfer?.files ?? []), true);

  // A pasted picture goes to the picture input that has the focus, otherwise it is the photograph.
  document.addEventListener("paste", (event) => {
    const block = event.target.closest?.(".picture-input") ?? document.querySelector("#content-picture");
    if (give(block, event.clipboardData?.files ?? [])) event.preventDefault();
  });

  // The page replaces a picture by the one that is dropped onto it; elsewhere a drop must not leave the page.
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    const block = event.target.closest?.(".picture-input");
    if (block?.querySelector("img")) give(block, event.dataTransfer?.files ?? []);
  });

  // The handle of a comparison becomes a slider for the keyboard and for screen readers.
  const move = (handle, share) => {
    const area = handle.parentElement.getBoundingClientRect();
    const at = (x) => ({ clientX: x, clientY: area.top + area.height / 2, bubbles: true, view: window });
    const now = handle.getBoundingClientRect();
    handle.dispatchEvent(new MouseEvent("mousedown", at(now.left + now.width / 2)));
    window.dispatchEvent(new MouseEvent("mousemove", at(area.left + share * area.width)));
    window.dispatchEvent(new MouseEvent("mouseup", at(area.left + share * area.width)));
    handle.setAttribute("aria-valuenow", Math.round(100 * share));
  };
  const prepare = (handle) => {
    handle.setAttribute("role", "slider");
    handle.setAttribute("tabindex", "0");
    handle.setAttribute("aria-label", "Position of the comparison");
    handle.setAttribute("aria-valuemin", "0");
    handle.setAttribute("aria-valuemax", "100");
    handle.setAttribute("aria-valuenow", "50");
    handle.addEventListener("keydown", (event) => {
      const change = { ArrowLeft: -0.05, ArrowRight: 0.05, Home: -1, End: 1 }[event.key];
      if (change === undefined) return;
      event.preventDefault();
      const [area, now] = [handle.parentElement.getBoundingClientRect(), handle.getBoundingClientRect()];
      const share = (now.left + now.width / 2 - area.left) / area.width + change;
      move(handle, Math.min(1, Math.max(0, share)));
    });
  };
  // Gradio leaves these without names.
  const nameElements = () => {
    document.querySelectorAll('[data-testid="slider"][role="none"]').forEach(prepare);
    document.querySelectorAll(".announcement").forEach((text) => text.setAttribute("aria-live", "polite"));
    document.querySelectorAll('[data-testid="imageslider-image"][alt=""]').forEach((image) => {
      image.alt = image.classList.contains("fixed") ? "Picture on the right" : "Picture on the left";
    });
    document.querySelectorAll("fieldset:not([aria-label])").forEach((group) => {
      const title = group.querySelector(":scope > span, :scope > div > span")?.textContent;
      if (title) group.setAttribute("aria-label", title.trim());
    });
    document.querySelectorAll('.media-input button[aria-label^="Drop"]').forEach((button) => {
      const title = button.closest(".media-input").querySelector('[data-testid="block-label"]')?.textContent.trim();
      button.setAttribute("aria-label", `${title}: choose, drop or paste a file`);
    });
    document.querySelectorAll(".swatch:not([aria-label])").forEach((menu) => {
      menu.setAttribute("aria-label", "Colors of the styles");
      const first = Number(menu.closest("[id^='region-']")?.id.split("-")[1] ?? 1);
      menu.querySelectorAll("button.color").forEach((button, index) => {
        button.setAttribute("aria-label", `Style ${first + index}`);
      });
    });
  };
  let isDue = false;
  new MutationObserver(() => {
    if (isDue) return;
    isDue = true;
    setTimeout(() => {
      isDue = false;
      nameElements();
    }, 50);
  }).observe(document, { childList: true, subtree: true });
})();
