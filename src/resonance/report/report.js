// A link to a claim opens it, also in browsers that do not do so by themselves.
(() => {
  "use strict";
  const open = () => {
    const place = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const around = place && place.closest("details");
    if (around && !around.open) {
      around.open = true;
      place.scrollIntoView();
    }
  };
  addEventListener("hashchange", open);
  open();
})();
