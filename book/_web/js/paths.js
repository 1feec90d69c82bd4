// Tells the widgets that are embedded in a page where their code lies: in the book itself.
(() => {
  const script = document.currentScript;
  const root = new URL("..", script.src).href;
  const manager = "@jupyter-widgets/html-manager";
  // The manager would fetch a module that it does not know from a public server.
  script.setAttribute("data-jupyter-widgets-cdn", root + "vendor/");
  window.requirejs.config({
    paths: {
      anywidget: root + "vendor/anywidget",
      // It is part of embed-amd.js, and asks for its fonts beside where it believes itself to be.
      [manager]: root + manager + "/dist/embed-amd",
      [manager + "/dist"]: root + manager + "/dist",
    },
  });
  // It hands its labels to MathJax 2; the pages have MathJax 3.
  document.addEventListener("DOMContentLoaded", () => {
    if (window.MathJax && !window.MathJax.Hub) {
      window.MathJax.Hub = { Queue: (call) => window.MathJax.typesetPromise?.([call[2]]) };
    }
  });
})();
