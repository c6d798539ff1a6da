#include "mien/serve/label_desk.h"

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/evaluation/predictions_csv.h"
#include "mien/explain/units/filters.h"
#include "mien/serve/part_faces.h"
#include "mien/serve/request_error.h"

namespace mien::serve {
namespace {

using nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr size_t kMostSuspects = 3000;
constexpr const char* kKeep = "keep";
constexpr const char* kDrop = "drop";

/// Lines of a csv without quoted commas, by column.
class Table {
 public:
  explicit Table(const fs::path& file) : file_(file) {
    for (const std::string& line : split(read_text(file, uint64_t{1} << 28), '\n')) {
      if (trim(line).empty()) continue;
      rows_.push_back(split(trim(line), ','));
      if (rows_.back().size() != rows_.front().size())
        throw_bad_data(fmt::format("{}:{}: {} cells, the header has {}",
                                   file.string(),
                                   rows_.size(),
                                   rows_.back().size(),
                                   rows_.front().size()));
    }
  }
  size_t size() const { return rows_.empty() ? 0 : rows_.size() - 1; }
  const std::string& text(size_t row, const std::string& column) const {
    const auto& header = rows_.front();
    const auto at = std::find(header.begin(), header.end(), column);
    if (at == header.end()) throw_bad_data(fmt::format("{} has no column {}", file_.string(), column));
    return rows_[row + 1][static_cast<size_t>(at - header.begin())];
  }
  double number(size_t row, const std::string& column) const {
    const auto value = parse_double(text(row, column));
    if (!value) throw_bad_data(fmt::format("{}:{}: {} is no number", file_.string(), row + 2, column));
    return *value;
  }

 private:
  fs::path file_;
  std::vector<std::vector<std::string>> rows_;
};

int32_t class_index(const std::vector<std::string>& classes, const std::string& name) {
  return static_cast<int32_t>(std::find(classes.begin(), classes.end(), name) - classes.begin());
}

}  // namespace

LabelDesk LabelDesk::of_audit(const fs::path& audit, const std::vector<ServedRun>& folds) {
  LabelDesk desk;
  desk.kind_ = "audit";
  desk.part_ = "val";
  desk.file_ = audit / "labels_reviewed.csv";
  struct Place {
    size_t run;
    int64_t index;
    std::string file;
  };
  std::map<int64_t, Place> places;
  for (const ServedRun& fold : folds) {
    desk.document_ = fold.document.value_or(0);
    desk.data_ = ordered_json::parse(fold.facts).value("data", std::string());
    const auto predictions = evaluation::read_predictions_csv(fold.folder / "predictions_val.csv");
    desk.classes_ = predictions.class_names;
    for (int64_t i = 0; i < predictions.size(); ++i) {
      const auto at = static_cast<size_t>(i);
      places[predictions.rows[at]] = {
          *fold.position, i, predictions.files.empty() ? std::string() : predictions.files[at]};
    }
  }
  const Table table(audit / "suspects.csv");
  for (size_t i = 0; i < table.size() && desk.suspects_.size() < kMostSuspects; ++i) {
    const auto row = parse_int(table.text(i, "row"));
    const auto place = row ? places.find(*row) : places.end();
    const int32_t label = class_index(desk.classes_, table.text(i, "label"));
    const int32_t suggested = class_index(desk.classes_, table.text(i, "suggested"));
    const auto classes = static_cast<int32_t>(desk.classes_.size());
    if (place == places.end() || label == classes || suggested == classes || label == suggested) continue;
    desk.suspects_.push_back({.row = *row,
                              .file = place->second.file,
                              .label = label,
                              .suggested = suggested,
                              .doubt = table.number(i, "doubt"),
                              .p_label = table.number(i, "p_label"),
                              .p_suggested = table.number(i, "p_suggested"),
                              .run = place->second.run,
                              .index = place->second.index});
  }
  desk.read_decisions();
  return desk;
}

LabelDesk LabelDesk::of_losses(const ServedRun& run, const std::string& part) {
  LabelDesk desk;
  desk.kind_ = "losses";
  desk.part_ = part;
  desk.document_ = run.document.value_or(0);
  desk.data_ = ordered_json::parse(run.facts).value("data", std::string());
  desk.file_ = run.folder / fmt::format("labels_reviewed_{}.csv", part);
  const auto predictions = evaluation::read_predictions_csv(run.folder / fmt::format("predictions_{}.csv", part));
  desk.classes_ = predictions.class_names;
  for (int64_t i = 0; i < predictions.size(); ++i) {
    const auto at = static_cast<size_t>(i);
    const int32_t label = predictions.labels[at];
    const int32_t said = predictions.predicted(i);
    if (label < 0 || said == label) continue;
    const auto rates = predictions.probability_row(i);
    desk.suspects_.push_back({.row = predictions.rows[at],
                              .file = predictions.files.empty() ? std::string() : predictions.files[at],
                              .label = label,
                              .suggested = said,
                              .doubt = predictions.loss(i),
                              .p_label = rates[static_cast<size_t>(label)],
                              .p_suggested = rates[static_cast<size_t>(said)],
                              .run = *run.position,
                              .index = i});
  }
  std::stable_sort(desk.suspects_.begin(), desk.suspects_.end(), [](const Suspect& a, const Suspect& b) {
    return a.doubt > b.doubt;
  });
  if (desk.suspects_.size() > kMostSuspects) desk.suspects_.resize(kMostSuspects);
  desk.read_decisions();
  return desk;
}

void LabelDesk::read_decisions() {
  for (size_t i = 0; i < suspects_.size(); ++i) places_[suspects_[i].row] = i;
  std::error_code ignored;
  if (!fs::is_regular_file(file_, ignored)) return;
  const Table table(file_);
  for (size_t i = 0; i < table.size(); ++i) {
    if (const auto row = parse_int(table.text(i, "row"))) {
      decisions_[*row] = {table.text(i, "label"), table.text(i, "was")};
    }
  }
}

void LabelDesk::write_decisions() const {
  std::string text = "row,label,was\n";
  for (const auto& [row, decision] : decisions_) text += fmt::format("{},{},{}\n", row, decision.label, decision.was);
  write_atomic(file_, text);
}

std::string LabelDesk::decisions_json() const {
  ordered_json list = ordered_json::object();
  for (const auto& [row, decision] : decisions_)
    list[std::to_string(row)] = decision.label == decision.was ? kKeep : decision.label;
  return ordered_json{{"decisions", std::move(list)}, {"file", file_.string()}}.dump(
      -1, ' ', false, ordered_json::error_handler_t::replace);
}

std::string LabelDesk::json() const {
  ordered_json json = ordered_json::parse(decisions_json());
  json["kind"] = kind_;
  json["document"] = document_;
  json["part"] = part_;
  json["data"] = data_;
  json["classes"] = classes_;
  json["suspects"] = ordered_json::array();
  for (const Suspect& one : suspects_) {
    ordered_json suspect{{"row", one.row},
                         {"label", one.label},
                         {"suggested", one.suggested},
                         {"doubt", one.doubt},
                         {"p_label", one.p_label},
                         {"p_suggested", one.p_suggested},
                         {"run", one.run},
                         {"index", one.index}};
    if (!one.file.empty()) suspect["file"] = one.file;
    json["suspects"].push_back(std::move(suspect));
  }
  return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

std::string LabelDesk::decide(int64_t row, const std::string& decision) {
  if (!places_.contains(row)) throw RequestError{404, fmt::format("row {} is no suspect", row)};
  const bool is_class = std::find(classes_.begin(), classes_.end(), decision) != classes_.end();
  if (!decision.empty() && decision != kKeep && decision != kDrop && !is_class)
    throw RequestError{
        400,
        fmt::format("decision is {}, expected keep, drop or one of {}", quote_sample(decision), join(classes_, ", "))};
  if (decision.empty()) {
    decisions_.erase(row);
  } else {
    const std::string& was = classes_[static_cast<size_t>(suspects_[places_.at(row)].label)];
    decisions_[row] = {decision == kKeep ? was : decision, was};
  }
  write_decisions();
  return decisions_json();
}

std::string neighbors_json(ServedModel& model,
                           const fs::path& run,
                           const std::string& part,
                           int64_t index,
                           int64_t count,
                           ProgressListener& listener) {
  constexpr int64_t kBatch = 128;
  const network::Graph& graph = model.frozen.graph();
  int layer = static_cast<int>(graph.layers.size()) - 1;
  while (layer > 0 && graph.layers[static_cast<size_t>(layer)].kind != network::LayerKind::dense) --layer;
  const std::vector<int>& inputs = graph.layers[static_cast<size_t>(layer)].inputs;
  const int read = inputs.empty() ? 0 : inputs[0];
  at::Tensor& all = model.found["neighbors " + part];
  if (!all.defined()) {
    const auto faces = part_faces(run, part, model.input);
    std::vector<at::Tensor> found;
    for (size_t begin = 0; begin < faces.size(); begin += kBatch) {
      if (listener.stop_requested()) throw Error(ErrorCode::interrupted, "cancelled");
      listener.progress("faces", static_cast<int64_t>(begin), static_cast<int64_t>(faces.size()), "");
      const auto end = std::min(faces.size(), begin + kBatch);
      const auto batch =
          model.faces({faces.begin() + static_cast<int64_t>(begin), faces.begin() + static_cast<int64_t>(end)});
      const at::Tensor output = explain::layer_outputs(model.frozen, model.images(batch), {read}, kBatch)[0].flatten(1);
      found.push_back(output / output.norm(2, {1}, true).clamp_min(1e-12));
    }
    if (found.empty()) return "[]";
    all = at::cat(found);
  }
  if (index < 0 || index >= all.size(0))
    throw RequestError{404, fmt::format("index is {}, expected 0 to {}", index, all.size(0) - 1)};
  at::Tensor similar = all.mv(all[index]);
  similar[index] = -2;  // itself
  const auto [values, places] = similar.topk(std::min(count, all.size(0) - 1));
  ordered_json list = ordered_json::array();
  for (int64_t i = 0; i < values.size(0); ++i)
    list.push_back({{"index", places[i].item<int64_t>()}, {"similarity", values[i].item<double>()}});
  return list.dump();
}

}  // namespace mien::serve
