#include "mien/runs/merge_run.h"

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/network/graph/graph.h"
#include "mien/runs/ensemble.h"
#include "mien/runs/load_faces.h"
#include "mien/runs/run_folder.h"
#include "mien/runs/shard.h"
#include "mien/runs/train_run.h"

namespace mien::runs {

std::optional<std::filesystem::path> merge_task(const std::vector<std::filesystem::path>& shards,
                                                const Experiment& experiment,
                                                const OptionSet& options,
                                                ProgressListener& listener) {
  const std::string hash = check_shards(shards);
  const data::Dataset dataset = load_faces(experiment.data, network::load_graph(experiment.run.network), listener);
  check_request(experiment, dataset);
  const std::string name =
      experiment.run.name.empty() ? network::load_graph(experiment.run.network).name : experiment.run.name;
  RunFolder folder = RunFolder::choose(experiment.run.project,
                                       name,
                                       experiment.run.exist_ok,
                                       /*reuse_finished=*/true,
                                       options,
                                       run_content(experiment, dataset));
  if (options_hash_of(folder.path()) != hash)
    throw_bad_data(
        fmt::format("cannot merge into {}: the data or files that the options name have changed since the "
                    "shards were trained",
                    folder.path().string()));
  if (folder.state() == RunFolder::State::finished) {
    listener.line(fmt::format("{} is finished already", folder.path().string()));
    return folder.path();
  }
  folder.begin();
  copy_runs(shards, folder.path());
  listener.line(fmt::format("{} shards are in {}", shards.size(), folder.path().string()));
  const auto done = train_ensemble(folder, experiment, options, dataset, listener);
  return done ? std::optional(folder.path()) : std::nullopt;
}

}  // namespace mien::runs
