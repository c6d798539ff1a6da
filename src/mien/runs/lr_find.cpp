#include "mien/runs/lr_find.h"

#include <fmt/format.h>

#include "mien/core/files.h"
#include "mien/network/network.h"
#include "mien/report/draw_or_warn.h"
#include "mien/report/plots.h"
#include "mien/runs/load_faces.h"
#include "mien/runs/run_folder.h"
#include "mien/runs/train_run.h"
#include "mien/training/learning_rate_finder.h"

namespace mien::runs {

double lr_find(const Experiment& experiment, const std::filesystem::path& folder, ProgressListener& listener) {
  const network::Graph graph = network::load_graph(experiment.run.network);
  const data::Dataset dataset = load_faces(experiment.data, graph, listener);
  check_request(experiment, dataset);
  const data::Split split = data::make_split(dataset, experiment.split);
  network::Network network(graph, static_cast<uint64_t>(experiment.train.loop.seed));
  if (!experiment.run.weights.empty()) network::load_weights_into(weights_file(experiment.run.weights), network);
  const training::TrainingInput input{.dataset = &dataset,
                                      .training_rows = split.training,
                                      .validation_rows = {},
                                      .options = experiment.train,
                                      .augment = experiment.augment,
                                      .folder = {},
                                      .metadata = {}};
  const auto curve = training::find_learning_rate(network, input, 1e-6, 10, 120, listener);
  std::string csv = "learning_rate,loss\n";
  for (size_t i = 0; i < curve.rates.size(); ++i) csv += fmt::format("{},{}\n", curve.rates[i], curve.losses[i]);
  write_atomic(folder / "learning_rate.csv", csv);
  std::filesystem::path shown = folder / "learning_rate.csv";
  report::draw_or_warn(listener, [&] {
    const std::filesystem::path picture = folder / "learning_rate.png";
    report::plot_learning_rate_finder(picture, curve.rates, curve.losses, curve.suggestion, "Learning-rate finder");
    shown = picture;
  });
  listener.line(fmt::format("suggested --lr {:.2g}; the curve is in {}", curve.suggestion, shown.string()));
  return curve.suggestion;
}

}  // namespace mien::runs
