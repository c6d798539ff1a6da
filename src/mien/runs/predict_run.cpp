#include "mien/runs/predict_run.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <numeric>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/evaluation/predictions_csv.h"
#include "mien/runs/voters.h"

namespace mien::runs {

void bind_voting(OptionSet& options, std::string& vote, int64_t& threads) {
  options.add(&vote,
              {.name = "vote",
               .help = "how several networks are combined",
               .choices = {"majority", "mean-probability", "mean-logit"}});
  options.add(&threads,
              {.name = "threads", .help = "threads to compute with; 0 takes all cores", .minimum = 0, .maximum = 1024});
}

void PredictRunOptions::bind(OptionSet& options) {
  options.group("predict");
  options.add(&out, {.name = "out", .help = "csv to write: id,label; the id of a picture is its file"});
  options.add(&names, {.name = "names", .help = "add a column class with the predicted class's name"});
  options.add(&probabilities, {.name = "probabilities", .help = "add a column p_NAME with each class's probability"});
  bind_voting(options, vote, threads);
  options.add(&flip_average,
              {.name = "tta-flip", .help = "predict with the mean logits of each face and its mirror image"});
  data.bind_reading(options);
}

int64_t predict_run(const PredictRunOptions& options, ProgressListener& listener) {
  const std::array<std::filesystem::path, 1> inputs{options.data.data};
  check_output(options.out, inputs, "--out");
  const Voters voters = Voters::load(options.weights);
  data::DataOptions data_options = options.data;
  data_options.image_side = voters.first().network.graph().input_shape().height;
  data_options.crop_of_weights = data::CropRecipe::of(voters.first().info.extra);
  data::Dataset faces = data::load(data_options, listener);
  if (const auto& classes = voters.first().info.class_names; !classes.empty() && classes != faces.class_names) {
    faces.class_names = classes;  // whatever the folders of the pictures are called, their labels are not asked for
    std::fill(faces.labels.begin(), faces.labels.end(), data::kUnlabeled);
    faces.label_distribution.clear();
  }
  std::vector<int64_t> all(static_cast<size_t>(faces.size()));
  std::iota(all.begin(), all.end(), int64_t{0});
  const auto predictions = voters.predict(options.vote, options.flip_average, faces, all, listener);
  write_atomic(options.out,
               evaluation::submission_csv(
                   predictions, faces.ids, {.names = options.names, .probabilities = options.probabilities}));
  listener.line(fmt::format("{} predictions in {}", with_commas(faces.size()), options.out));
  return faces.size();
}

}  // namespace mien::runs
