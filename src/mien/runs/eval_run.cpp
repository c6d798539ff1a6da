#include "mien/runs/eval_run.h"

#include <algorithm>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/runs/evaluate_run.h"
#include "mien/runs/predict_run.h"
#include "mien/runs/voters.h"

namespace mien::runs {

void EvalRunOptions::bind(OptionSet& options) {
  options.group("eval");
  options.add(&out, {.name = "out", .help = "folder that metrics and pictures are written into"});
  options.add(&usage,
              {.name = "usage",
               .help = "rows to judge on: unseen (the run's test rows, else its validation rows; all rows of other "
                       "data), all, training, validation, or by the column Usage",
               .choices = {"unseen", "all", "training", "validation", "public-test", "private-test"}});
  bind_voting(options, vote, threads);
  data.bind_ferplus(options);
  data.bind_reading(options);
}

evaluation::Metrics eval_run(const EvalRunOptions& options,
                             const RunEvaluationOptions& judge_options,
                             ProgressListener& listener) {
  check_output_folder(options.out, "--out");
  if (std::filesystem::exists(std::filesystem::path(options.out) / "args.toml")) {
    throw_usage(fmt::format("--out: {} is a training's folder, whose own metrics would be replaced", options.out),
                "choose another --out");
  }
  const Voters voters = Voters::load(options.weights);
  data::DataOptions data_options = options.data;
  data_options.image_side = voters.first().network.graph().input_shape().height;
  data_options.crop_of_weights = data::CropRecipe::of(voters.first().info.extra);
  const data::Dataset faces = data::load(data_options, listener);
  const auto& classes = voters.first().info.class_names;
  if (!classes.empty() && classes != faces.class_names) {
    throw_bad_data(fmt::format("cannot judge {} on {}: the network tells {} apart, the faces are labeled {}",
                               options.weights.front(),
                               options.data.data,
                               join(classes, ", "),
                               join(faces.class_names, ", ")),
                   "name the class folders as the network's classes");
  }
  for (const std::string& cell : judge_options.cells) parse_cell(cell, faces.class_names);
  const JudgedRows judged = judged_rows(faces, voters.records, options.usage);
  const std::string labels = faces.label_source.empty() ? "" : fmt::format("; labels: {}", faces.label_source);
  listener.line(fmt::format("judged on {} faces: {}{}",
                            with_commas(static_cast<int64_t>(judged.indices.size())),
                            judged.description,
                            labels));
  if (!judged.warning.empty()) listener.warning(judged.warning);
  if (const auto& learned = voters.records.front();
      learned.knows(faces) && learned.label_source != faces.label_source) {
    listener.warning(fmt::format("the network learned {} labels and is judged by {}",
                                 learned.label_source.empty() ? "the data's own" : learned.label_source,
                                 faces.label_source.empty() ? "the data's own" : faces.label_source));
  }
  const auto predictions = voters.predict(options.vote, judge_options.flip_average, faces, judged.indices, listener);
  return evaluate_run(predictions, faces, judge_options, options.out, "eval", listener, judged.description);
}

}  // namespace mien::runs
