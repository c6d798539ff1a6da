#include "mien/recipes/run_figures.h"

#include <numeric>
#include <optional>

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/hash.h"
#include "mien/runs/run_folder.h"
#include "mien/runs/run_page.h"
#include "mien/runs/train_run.h"

namespace mien::recipes {
namespace {

using nlohmann::ordered_json;

std::vector<int64_t> all_rows(const data::Dataset& dataset) {
  std::vector<int64_t> rows(static_cast<size_t>(dataset.size()));
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

/// Of everything that decides a run's figures.
std::string figures_key(const ResolvedRun& run, const std::string& weights_hash) {
  std::string text = weights_hash;
  for (const figures::Figure& figure : run.figures) text += "\n" + figures::options_text(figure);
  return checksum(text);
}

/// The faces that a run's figures look at: its own, or for test rows those of another file.
class Faces {
 public:
  Faces(const ResolvedRun& run,
        const network::LoadedWeights& weights,
        const data::Dataset& dataset,
        ProgressListener& listener)
      : weights_(weights),
        experiment_(*run.experiment),
        test_file_(run.experiment->judge.test_data),
        listener_(listener) {
    const data::Split split = data::make_split(dataset, run.experiment->split);
    has_test_rows_ = !split.test.empty();
    own_.emplace(weights,
                 dataset,
                 figures::SplitRows{.all = all_rows(dataset),
                                    .training = split.training,
                                    .validation = split.validation,
                                    .test = has_test_rows_ || !test_file_.empty() ? split.test : split.validation},
                 listener);
  }

  figures::ExplainContext& of(const figures::Figure& figure) {
    if (has_test_rows_ || figures::part_of(figure) != "test") return *own_;
    if (test_file_.empty()) {
      if (!has_told_) listener_.line("the data has no test rows: the validation rows stand for them in figures");
      has_told_ = true;
      return *own_;
    }
    if (!elsewhere_) {
      test_data_ = runs::load_test_faces(experiment_, listener_);
      const std::vector<int64_t> rows = all_rows(test_data_);
      elsewhere_.emplace(weights_,
                         test_data_,
                         figures::SplitRows{.all = rows, .training = {}, .validation = {}, .test = rows},
                         listener_);
    }
    return *elsewhere_;
  }

 private:
  const network::LoadedWeights& weights_;
  const runs::Experiment& experiment_;
  std::string test_file_;
  ProgressListener& listener_;
  bool has_test_rows_ = false;
  bool has_told_ = false;
  std::optional<figures::ExplainContext> own_;
  data::Dataset test_data_;
  std::optional<figures::ExplainContext> elsewhere_;
};

}  // namespace

std::vector<runs::DrawnPicture> draw_figures(const ResolvedRun& run,
                                             const network::LoadedWeights& weights,
                                             const data::Dataset& dataset,
                                             const std::filesystem::path& folder,
                                             bool raw,
                                             ProgressListener& listener,
                                             std::vector<std::string>* left_out) {
  Faces faces(run, weights, dataset, listener);
  std::vector<runs::DrawnPicture> drawn;
  int64_t done = 0;
  for (const figures::Figure& figure : run.figures) {
    const std::string& file = figures::picture_of(figure).file;
    try {
      for (runs::DrawnPicture& picture : figures::draw_figure(figure, faces.of(figure), folder, raw))
        drawn.push_back(std::move(picture));
    } catch (const Error& error) {
      if (left_out == nullptr || error.code() == ErrorCode::interrupted) throw;
      listener.warning(fmt::format("figure {} of run {} is left out: {}", file, run.name, error.what()));
      left_out->push_back(file);
    }
    listener.progress("drawing figures", ++done, static_cast<int64_t>(run.figures.size()), file);
  }
  return drawn;
}

std::vector<runs::DrawnPicture> explain_run(const ResolvedRun& run,
                                            const data::Dataset& dataset,
                                            const std::filesystem::path& run_folder,
                                            ProgressListener& listener) {
  if (run.figures.empty()) return {};
  const network::LoadedWeights weights = network::load_weights(runs::weights_file(run_folder));
  const std::string key = figures_key(run, weights.hash);
  const auto folder = run_folder / "explain";
  const auto record = folder / "figures.json";
  if (std::filesystem::exists(record)) {
    const auto json = nlohmann::json::parse(read_text(record, 1 << 24), nullptr, /*allow_exceptions=*/false);
    if (json.is_object() && json.value("key", std::string()) == key) return runs::read_figures(run_folder);
  }
  listener.line(fmt::format("explaining {}", run.name));
  std::vector<std::string> left_out;
  const std::vector<runs::DrawnPicture> drawn =
      draw_figures(run, weights, dataset, folder, /*raw=*/true, listener, &left_out);
  // Without the key, the next start tries those that were left out again.
  ordered_json json{{"key", left_out.empty() ? key : ""}, {"figures", ordered_json::array()}};
  for (const runs::DrawnPicture& picture : drawn) {
    json["figures"].push_back(
        {{"file", std::filesystem::relative(picture.path, folder).string()}, {"caption", picture.caption}});
  }
  write_atomic(record, json.dump(2) + "\n");
  runs::write_run_page(runs::read_run(run_folder), listener);
  return drawn;
}

}  // namespace mien::recipes
