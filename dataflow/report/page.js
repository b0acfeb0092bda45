(async function () {
  "use strict";
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const documents = [];

  function axes() {
    return documents.flatMap((found) => [...found.all_models]).filter((model) => "major_label_text_color" in model);
  }

  // Bokeh draws on a canvas, where no style sheet reaches: its text is coloured here.
  function paint() {
    const ink = dark.matches ? "#b4bbc6" : "#4d545e";
    for (const axis of axes()) {
      axis.major_label_text_color = ink;
      axis.axis_label_text_color = ink;
    }
  }

  // Long names of strategies would leave a phone no room for the picture.
  function fit() {
    const size = innerWidth < 640 ? "10px" : "12px";
    for (const axis of axes()) {
      axis.major_label_text_font_size = size;
    }
  }

  for (const element of document.querySelectorAll("script.bokeh-item")) {
    const views = await Bokeh.embed.embed_item(JSON.parse(element.textContent));
    documents.push(views.roots[0].model.document);
  }
  paint();
  fit();
  dark.addEventListener("change", paint);
  addEventListener("resize", fit);

  const choice = document.getElementById("memory-trial");
  if (choice) {
    const trials = JSON.parse(document.getElementById("memory-data").textContent);
    const source = documents.map((found) => found.get_model_by_name("lines")).find(Boolean);
    const legend = document.getElementById("memory-legend");
    const show = function () {
      const data = trials[choice.value];
      source.data = data;
      legend.replaceChildren(...data.name.map(function (name, i) {
        const item = document.createElement("li");
        const chip = document.createElement("i");
        chip.style.background = data.colour[i];
        item.append(chip, name);
        return item;
      }));
    };
    choice.addEventListener("change", show);
    show();
  }
  document.documentElement.dataset.ready = "true";
})();
