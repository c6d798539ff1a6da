#include "mien/runs/run_document.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/hash.h"
#include "mien/core/text.h"
#include "mien/data/readers/image_io.h"
#include "mien/evaluation/confusion.h"
#include "mien/evaluation/predictions_csv.h"
#include "mien/network/graph/graph.h"
#include "mien/report/base64.h"
#include "mien/runs/compare_runs.h"
#include "mien/runs/face_sheets.h"
#include "mien/runs/run_folder.h"

namespace mien::runs {
namespace {

using evaluation::Predictions;
using nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr int64_t kTopLosses = 60;
constexpr int64_t kWidestFigure = 1400;
constexpr int kFigureQuality = 80;  // of WebP, 1 to 100
constexpr int kFaceQuality = 70;

/// A fact of run.json; null where there is none.
ordered_json fact(const fs::path& folder, const std::string& key) {
  const auto json = ordered_json::parse(run_fact(folder, key), nullptr, /*allow_exceptions=*/false);
  return json.is_discarded() ? ordered_json() : json;
}

std::string text_file(const fs::path& file) {
  std::error_code ignored;
  return fs::is_regular_file(file, ignored) ? read_text(file, 1 << 20) : std::string();
}

double rounded(double value, double steps) { return std::round(value * steps) / steps; }

ordered_json interval_json(const evaluation::Interval& interval) { return {interval.low, interval.high}; }

/// When and by what the folder was made, as its run.json says.
ordered_json made_json(const fs::path& folder) {
  const auto json = ordered_json::parse(text_file(folder / "run.json"), nullptr, /*allow_exceptions=*/false);
  ordered_json made = ordered_json::object();
  if (!json.is_object()) return made;
  made["at"] = json.value("saved_at", std::string());
  // Of a run the time when it was judged: run.json is saved once more after its page, which is to be made again alike.
  if (const auto facts = json.find("facts"); facts != json.end() && facts->contains("judged_at"))
    made["at"] = (*facts)["judged_at"];
  if (json.contains("environment")) made["environment"] = json["environment"];
  return made;
}

/// The command that does it again: what was typed, read back from the comments of args.toml.
std::string command_text(const fs::path& folder, const std::string& words) {
  std::string command = "mien " + words;
  const std::string typed = "# command line: ";
  for (const std::string& line : split(text_file(folder / "args.toml"), '\n')) {
    const size_t at = line.find(typed);
    if (at == std::string::npos) continue;
    std::string flag = line.substr(at + typed.size());
    if (const size_t end = flag.rfind(" (default"); end != std::string::npos) flag.resize(end);
    if (!flag.starts_with("--project ") && !flag.starts_with("--name ") && flag != "--exist-ok") command += " " + flag;
  }
  return command;
}

ordered_json layer_json(const network::Layer& layer) {
  ordered_json json{{"name", layer.name},
                    {"kind", network::to_text(layer.kind)},
                    {"inputs", layer.inputs},
                    {"output", layer.output_shape.text()},
                    {"parameters", layer.trainable_parameters() + layer.buffers()},
                    {"multiply_adds", layer.multiply_adds()}};
  if (layer.kernel_height > 0) {
    json["kernel"] = {layer.kernel_height, layer.kernel_width};
    json["stride"] = layer.stride;
  }
  if (layer.kind == network::LayerKind::dropout) json["probability"] = layer.probability;
  return json;
}

ordered_json network_json(const RunSummary& run) {
  ordered_json json{
      {"name", run.network}, {"parameters", run.total_parameters}, {"trainable", run.trainable_parameters}};
  try {
    const network::Graph graph = network::load_graph(run.network);
    json["source"] = graph.source;
    json["multiply_adds"] = graph.multiply_adds();
    json["summary"] = network::summary_table(graph);
    for (const network::Layer& layer : graph.layers) json["layers"].push_back(layer_json(layer));
  } catch (const Error&) {  // a network file that is no longer where it was
  }
  return json;
}

ordered_json sheets_json(const fs::path& folder, const std::string& part, PictureShelf& pictures) {
  const auto faces = read_face_sheets(folder, part);
  if (!faces) return nullptr;
  ordered_json json{{"width", faces->width},
                    {"height", faces->height},
                    {"columns", faces->columns},
                    {"per_sheet", faces->per_sheet},
                    {"count", faces->count},
                    {"sheets", ordered_json::array()}};
  for (const fs::path& sheet : faces->sheets) json["sheets"].push_back(pictures.add(sheet));
  return json;
}

/// Probabilities as whole numbers of ten thousandths: a third of the text.
ordered_json probabilities_json(const Predictions& predictions) {
  ordered_json values = ordered_json::array();
  for (const double p : predictions.probabilities) values.push_back(static_cast<int64_t>(std::lround(10'000 * p)));
  return values;
}

/// Predictions on one part of the data, with all that judges them.
ordered_json part_json(const fs::path& folder,
                       const std::string& id,
                       const std::string& judged_on,
                       const Predictions& predictions,
                       const evaluation::Metrics& metrics,
                       PictureShelf& pictures) {
  ordered_json json{{"id", id},
                    {"judged_on", judged_on},
                    {"classes", predictions.class_names},
                    {"metrics", ordered_json::parse(evaluation::metrics_json(metrics))},
                    {"rows", predictions.rows},
                    {"labels", predictions.labels}};
  for (int64_t i = 0; i < predictions.size(); ++i) {
    json["predicted"].push_back(predictions.predicted(i));
    json["losses"].push_back(predictions.is_labeled(i) ? ordered_json(rounded(predictions.loss(i), 1000))
                                                       : ordered_json());
  }
  json["probabilities"] = probabilities_json(predictions);
  if (!predictions.files.empty()) json["files"] = predictions.files;
  json["faces"] = sheets_json(folder, id, pictures);
  json["top_losses"] = ordered_json::array();
  for (const auto& loss : evaluation::top_losses(predictions, kTopLosses)) json["top_losses"].push_back(loss.index);
  json["most_confused"] = ordered_json::array();
  for (const auto& pair : evaluation::most_confused(metrics.confusion, 10)) {
    json["most_confused"].push_back({{"truth", pair.truth},
                                     {"predicted", pair.predicted},
                                     {"count", pair.count},
                                     {"share", pair.share_of_truth},
                                     {"interval", interval_json(pair.interval)}});
  }
  return json;
}

/// The sidecars of a drawn picture: what lies beside it under its name, but not under the longer name of another.
std::vector<fs::path> sidecars(const fs::path& picture, const std::vector<DrawnPicture>& drawn) {
  const std::string stem = picture.stem().string();
  std::vector<fs::path> found;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(picture.parent_path(), ignored)) {
    const std::string name = entry.path().stem().string();
    if (entry.path().extension() != ".json" || (name != stem && !name.starts_with(stem + "_"))) continue;
    const bool is_of_another = std::any_of(drawn.begin(), drawn.end(), [&](const DrawnPicture& other) {
      const std::string longer = other.path.stem().string();
      return longer.size() > stem.size() && (name == longer || name.starts_with(longer + "_"));
    });
    if (!is_of_another) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

/// What a sidecar says that a reader of the picture asks for; null for one that says nothing of the kind.
ordered_json explained_json(const fs::path& sidecar) {
  const auto json = ordered_json::parse(text_file(sidecar), nullptr, /*allow_exceptions=*/false);
  ordered_json out;
  if (!json.is_object()) return out;
  for (const char* key : {"kind",
                          "method",
                          "family",
                          "source",
                          "layer",
                          "row",
                          "label",
                          "predicted",
                          "target",
                          "score",
                          "probability",
                          "problem",
                          "facts",
                          "faithfulness"}) {
    if (json.contains(key) && !json[key].is_null()) out[key] = json[key];
  }
  return out;
}

ordered_json figures_json(const fs::path& folder, PictureShelf& pictures) {
  ordered_json figures = ordered_json::array();
  const std::vector<DrawnPicture> drawn = read_figures(folder);
  for (const DrawnPicture& picture : drawn) {
    std::error_code ignored;
    if (!fs::is_regular_file(picture.path, ignored)) continue;
    ordered_json json{{"file", picture.path.filename().string()},
                      {"caption", picture.caption},
                      {"picture", pictures.add(picture.path)},
                      {"maps", ordered_json::array()}};
    for (const fs::path& sidecar : sidecars(picture.path, drawn)) {
      if (ordered_json one = explained_json(sidecar); !one.is_null()) json["maps"].push_back(std::move(one));
    }
    figures.push_back(std::move(json));
  }
  return figures;
}

/// The facts of a run that every page needs, without faces.
ordered_json brief_json(const RunSummary& run) {
  ordered_json json{{"name", run.name},
                    {"network", {{"name", run.network}, {"parameters", run.total_parameters}}},
                    {"data", run.data},
                    {"test_name", run.test_name},
                    {"seed", run.seed},
                    {"best_epoch", run.best_epoch},
                    {"epochs", run.history.size()},
                    {"stop_reason", run.stop_reason},
                    {"seconds", run.seconds},
                    {"seconds_per_epoch", run.seconds_per_epoch()},
                    {"faces_per_second", run.faces_per_second},
                    {"history", ordered_json::parse(history_json(run.history))}};
  const auto add = [&json](const char* key, const std::optional<evaluation::Metrics>& metrics) {
    if (metrics)
      json[key] = {{"accuracy", metrics->accuracy},
                   {"interval", interval_json(metrics->accuracy_interval)},
                   {"count", metrics->count}};
  };
  add("validation", run.validation_metrics);
  add("test", run.test_metrics);
  return json;
}

ordered_json run_json(const RunSummary& run, PictureShelf& pictures) {
  ordered_json json = brief_json(run);
  json["network"] = network_json(run);
  json["split"] = run.split;
  json["leaks"] = run.leaks;
  for (const char* key : {"class_counts", "class_weights", "normalization", "device"}) {
    if (auto value = fact(run.folder, key); !value.is_null()) json[key] = std::move(value);
  }
  json["made"] = made_json(run.folder);
  json["command"] = command_text(run.folder, "train --config " + (run.folder / "args.toml").string());
  json["options"] = text_file(run.folder / "args.toml");
  json["examples"] = sheets_json(run.folder, "examples", pictures);
  json["parts"] = ordered_json::array();
  if (run.test)
    json["parts"].push_back(
        part_json(run.folder, "public_test", run.test_name, *run.test, *run.test_metrics, pictures));
  if (run.validation)
    json["parts"].push_back(
        part_json(run.folder, "val", "validation", *run.validation, *run.validation_metrics, pictures));
  json["figures"] = figures_json(run.folder, pictures);
  const fs::path batch = run.folder / "train_batch0.png";
  if (std::error_code ignored; fs::is_regular_file(batch, ignored)) json["first_batch"] = pictures.add(batch);
  return json;
}

ordered_json ensemble_json(const EnsembleSummary& ensemble, PictureShelf& pictures) {
  ordered_json json{{"name", ensemble.folder.filename().string()},
                    {"judged_on", ensemble.judged_on},
                    {"weights", ensemble.weights},
                    {"made", made_json(ensemble.folder)},
                    {"members", ordered_json::array()},
                    {"votes", ordered_json::array()},
                    {"growth", ordered_json::array()},
                    {"parts", ordered_json::array()}};
  for (const RunSummary& member : ensemble.members) json["members"].push_back(brief_json(member));
  if (!ensemble.members.empty()) {
    json["network"] = network_json(ensemble.members.front());
    json["split"] = ensemble.members.front().split;
    json["leaks"] = ensemble.members.front().leaks;
    json["options"] = text_file(ensemble.folder / "args.toml");
    json["command"] = command_text(ensemble.folder, "train --config " + (ensemble.folder / "args.toml").string());
  }
  for (const VoteOutcome& outcome : ensemble.votes) {
    json["votes"].push_back({{"vote", outcome.vote},
                             {"accuracy", outcome.metrics.accuracy},
                             {"interval", interval_json(outcome.metrics.accuracy_interval)},
                             {"macro_f1", outcome.metrics.macro_f1},
                             {"log_loss", outcome.metrics.log_loss}});
  }
  for (const auto& point : ensemble.growth) {
    json["growth"].push_back({{"members", point.members},
                              {"subsets", point.subsets},
                              {"accuracy", point.accuracy},
                              {"interval", interval_json(point.interval)},
                              {"lowest", point.lowest},
                              {"highest", point.highest}});
  }
  const fs::path voted = ensemble.folder / "predictions_vote.csv";
  if (std::error_code ignored; fs::is_regular_file(voted, ignored)) {
    const Predictions predictions = evaluation::read_predictions_csv(voted);
    json["parts"].push_back(part_json(
        ensemble.folder, "vote", ensemble.judged_on, predictions, evaluation::compute_metrics(predictions), pictures));
  }
  return json;
}

ordered_json comparisons_json(const std::vector<RunSummary>& runs) {
  ordered_json list = ordered_json::array();
  for (const auto& [first, second, c] : paired_tests(runs)) {
    list.push_back({{"first", first},
                    {"second", second},
                    {"part", runs[first].test ? "public_test" : "val"},
                    {"difference", c.accuracy.difference},
                    {"interval", interval_json(c.accuracy.interval)},
                    {"p_value", c.mcnemar_p_value},
                    {"agreement", c.agreement},
                    {"only_first", c.only_first_correct},
                    {"only_second", c.only_second_correct}});
  }
  return list;
}

ordered_json document(const char* kind, const std::string& title, const std::string& subtitle) {
  return {{"format", 1},
          {"kind", kind},
          {"title", title},
          {"subtitle", subtitle},
          {"runs", ordered_json::array()},
          {"ensembles", ordered_json::array()},
          {"comparisons", ordered_json::array()}};
}

std::string finished(ordered_json json, const PictureShelf& pictures) {
  json["pictures"] = ordered_json::parse(pictures.json());
  return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

/// The file's picture as a data URI.
std::string data_uri(const fs::path& file) {
  const std::string bytes = read_text(file, uint64_t{1} << 28);
  const bool is_sheet = bytes.starts_with("RIFF");  // of faces, without loss
  if (!data::has_image_files() && is_sheet) return "data:image/webp;base64," + report::base64(bytes);
  if (!data::has_image_files()) return "data:image/png;base64," + report::base64(bytes);
  data::RgbImage image = data::decode_rgb(bytes);
  if (!is_sheet && image.width > kWidestFigure)
    image = data::resize_rgb(image, std::max<int64_t>(1, image.height * kWidestFigure / image.width), kWidestFigure);
  return "data:image/webp;base64," +
         report::base64(
             data::encode_webp(image.pixels, image.height, image.width, 3, is_sheet ? kFaceQuality : kFigureQuality));
}

}  // namespace

std::string EmbeddedPictures::add(const fs::path& file) {
  const std::string key = checksum(read_text(file, uint64_t{1} << 28));
  if (const auto found = names_.find(key); found != names_.end()) return found->second;
  std::string uri = data_uri(file);
  std::string name;
  if (used_ + uri.size() <= budget_) {
    name = fmt::format("p{}", sources_.size());
    used_ += uri.size();
    sources_[name] = std::move(uri);
  } else {
    ++left_out_;
  }
  return names_[key] = name;
}

std::string EmbeddedPictures::json() const { return ordered_json(sources_).dump(); }

std::string history_json(const std::vector<training::EpochRow>& history) {
  ordered_json rows = ordered_json::array();
  for (const training::EpochRow& row : history) {
    rows.push_back({{"epoch", row.epoch},
                    {"train_loss", row.train_loss},
                    {"train_accuracy", row.train_accuracy},
                    {"validation_loss", row.validation_loss},
                    {"validation_accuracy", row.validation_accuracy},
                    {"learning_rate", row.learning_rate},
                    {"seconds", row.seconds}});
  }
  return rows.dump();
}

std::string run_document(const RunSummary& run, PictureShelf& pictures) {
  ordered_json json = document("run", run.name, fmt::format("{} on {}", run.network, run.data));
  json["runs"].push_back(run_json(run, pictures));
  json["command"] = json["runs"][0]["command"];
  return finished(std::move(json), pictures);
}

std::string ensemble_document(const EnsembleSummary& ensemble, PictureShelf& pictures) {
  ordered_json json =
      document("ensemble",
               ensemble.folder.filename().string(),
               fmt::format("{} networks by seed, judged on {}", ensemble.members.size(), ensemble.judged_on));
  json["ensembles"].push_back(ensemble_json(ensemble, pictures));
  json["command"] = json["ensembles"][0].value("command", std::string());
  return finished(std::move(json), pictures);
}

std::string recipe_document(const RecipePage& page,
                            const std::vector<RunSummary>& runs,
                            const std::vector<EnsembleSummary>& ensembles,
                            PictureShelf& pictures) {
  ordered_json json = document("recipe", page.title, page.source);
  json["description"] = page.description;
  json["class_table"] = page.class_table;
  json["recipe"] = text_file(page.folder / "recipe.toml");
  std::error_code ignored;
  json["command"] = command_text(page.folder,
                                 fs::exists(page.folder / "audit.json", ignored)
                                     ? "audit --config " + (page.folder / "args.toml").string()
                                     : "run " + (page.folder / "recipe.toml").string());
  json["made"] = made_json(page.folder);
  // The runs' faces first: they are what the page is for, and what the budget must not run out on.
  for (const RunSummary& run : runs) json["runs"].push_back(run_json(run, pictures));
  for (const EnsembleSummary& ensemble : ensembles) json["ensembles"].push_back(ensemble_json(ensemble, pictures));
  json["comparisons"] = comparisons_json(runs);
  return finished(std::move(json), pictures);
}

}  // namespace mien::runs
