#include "mien/runs/predict_run.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <numeric>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/outputs.h"
#include "mien/core/text.h"
#include "mien/evaluation/predictions_csv.h"
#include "mien/runs/experiment.h"
#include "mien/runs/load_faces.h"
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
  bind_views(options, views, flip_average);
  data.bind_reading(options);
}

int64_t predict_run(const PredictRunOptions& options, ProgressListener& listener) {
  const std::array<std::filesystem::path, 1> inputs{options.data.data};
  check_output_is_like(options.out, inputs, "--out", "id,", "a csv of predictions");
  const Voters voters = Voters::load(options.weights);
  data::DataOptions data_options = options.data;
  data_options.labels = false;
  data::Dataset faces = load_faces(data_options, voters.first(), listener);
  std::vector<std::string> classes = voters.first().info.class_names;
  const int64_t outputs = voters.first().network.graph().classes();
  if (classes.empty() && outputs != faces.classes()) {  // weights of other programs do not name their classes
    for (int64_t c = 0; c < outputs; ++c) classes.push_back(std::to_string(c));
  }
  if (!classes.empty() && classes != faces.class_names) {
    faces.class_names = classes;  // whatever the folders of the pictures are called, their labels are not asked for
    std::fill(faces.labels.begin(), faces.labels.end(), data::kUnlabeled);
    faces.label_distribution.clear();
  }
  std::vector<int64_t> all(static_cast<size_t>(faces.size()));
  std::iota(all.begin(), all.end(), int64_t{0});
  const auto predictions =
      voters.predict(options.vote, prediction_options(options.views, options.flip_average), faces, all, listener);
  write_atomic(options.out,
               evaluation::submission_csv(
                   predictions, faces.ids, {.names = options.names, .probabilities = options.probabilities}));
  listener.line(fmt::format("{} predictions in {}", with_commas(faces.size()), options.out));
  return faces.size();
}

}  // namespace mien::runs
