#include "mien/runs/voters.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/evaluation/calibration.h"
#include "mien/evaluation/evaluator.h"
#include "mien/evaluation/vote.h"
#include "mien/runs/run_folder.h"

namespace mien::runs {
namespace {

namespace fs = std::filesystem;

bool has_weights(const fs::path& folder) { return fs::exists(folder / "weights" / "best.safetensors"); }

/// Folders in `folder` that hold weights, in order of their names.
std::vector<fs::path> runs_in(const fs::path& folder) {
  std::vector<fs::path> runs;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    if (entry.is_directory(ignored) && has_weights(entry.path())) runs.push_back(entry.path());
  }
  std::sort(runs.begin(), runs.end());
  return runs;
}

}  // namespace

std::vector<fs::path> weights_files(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_directory(path, ignored) || has_weights(path)) return {weights_file(path)};
  const std::vector<fs::path> runs = runs_in(path);
  const auto is_member = [](const fs::path& run) { return run.filename().string().starts_with("member"); };
  if (!run_fact(path, "members").empty() && std::any_of(runs.begin(), runs.end(), is_member)) {
    std::vector<fs::path> files;
    for (const fs::path& run : runs) {
      if (is_member(run)) files.push_back(weights_file(run));
    }
    return files;
  }
  if (runs.empty()) return {weights_file(path)};
  std::vector<std::string> names;
  for (const fs::path& run : runs) names.push_back(run.string());
  throw_bad_data(fmt::format("cannot read weights from {}: it holds several runs", path.string()),
                 "name one of them: " + join(names, ", "));
}

double stored_temperature(const network::WeightsInfo& info) {
  const auto found = info.extra.find(kTemperatureKey);
  if (found == info.extra.end()) return 1;
  const auto temperature = parse_double(found->second);
  if (!temperature || !(*temperature > 0) || !std::isfinite(*temperature)) {
    throw_bad_data(fmt::format(
        "the weights' metadata {} holds {}, expected a number above 0", kTemperatureKey, quote_sample(found->second)));
  }
  return *temperature;
}

evaluation::Predictions at_stored_temperature(evaluation::Predictions predictions, const network::WeightsInfo& info) {
  const double temperature = stored_temperature(info);
  return temperature == 1 ? std::move(predictions) : evaluation::with_temperature(predictions, temperature);
}

Voters Voters::load(const std::vector<std::string>& paths) {
  Voters voters;
  for (const std::string& path : paths) {
    for (const fs::path& file : weights_files(path)) {
      voters.files.push_back(file);
      voters.networks.push_back(network::load_weights(file));
      voters.records.push_back(TrainingRecord::read(voters.networks.back().info));
      const auto& first = voters.networks.front().info.class_names;
      const auto& last = voters.networks.back().info.class_names;
      if (last == first) continue;
      throw_bad_data(fmt::format("{} and {} cannot vote: one tells {} apart, the other {}",
                                 voters.files.front().string(),
                                 file.string(),
                                 join(first, ", "),
                                 join(last, ", ")));
    }
  }
  return voters;
}

evaluation::Predictions Voters::predict(const std::string& vote,
                                        const evaluation::PredictOptions& options,
                                        const data::Dataset& dataset,
                                        std::span<const int64_t> indices,
                                        ProgressListener& listener) const {
  std::vector<evaluation::Predictions> members;
  for (size_t m = 0; m < networks.size(); ++m) {
    members.push_back(
        evaluation::predict(networks[m].network, networks[m].info.normalization, dataset, indices, options, listener));
    if (!networks[m].info.class_names.empty()) members.back().class_names = networks[m].info.class_names;
    const auto& logits = members.back().logits;
    const auto bad = std::find_if(logits.begin(), logits.end(), [](double logit) { return !std::isfinite(logit); });
    if (bad == logits.end()) {
      members.back() = at_stored_temperature(std::move(members.back()), networks[m].info);
      continue;
    }
    const int64_t position = (bad - logits.begin()) / members.back().classes();
    throw_bad_data(fmt::format("cannot predict with {}: its logits for {} are not finite numbers",
                               files[m].string(),
                               members.back().face_name(position)),
                   "the weights are damaged, or training diverged; train again with a smaller --lr");
  }
  return members.size() == 1 ? std::move(members.front())
                             : evaluation::combine(members, evaluation::vote_from_text(vote));
}

}  // namespace mien::runs
