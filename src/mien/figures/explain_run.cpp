#include "mien/figures/explain_run.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/explain/faithfulness/method_evaluation.h"
#include "mien/figures/figure_output.h"
#include "mien/report/canvas.h"
#include "mien/report/draw_or_warn.h"
#include "mien/report/plots.h"
#include "mien/runs/load_faces.h"
#include "mien/runs/run_folder.h"
#include "mien/runs/training_record.h"
#include "mien/runs/voters.h"

namespace mien::figures {
namespace {

using nlohmann::ordered_json;

/// The parts of the network's own split where it was trained on these data, else by usage; of one usage only.
SplitRows parts_of(const data::Dataset& dataset, const runs::TrainingRecord& record, const std::string& usage) {
  SplitRows parts = SplitRows::by_usage(dataset);
  if (record.knows(dataset)) {
    parts.is_of_run = true;
    std::unordered_map<int64_t, int64_t> index_of;
    for (int64_t i = 0; i < dataset.size(); ++i) index_of.emplace(dataset.row_of(i), i);
    const auto indices = [&](const std::vector<int64_t>& rows) {
      std::vector<int64_t> found;
      for (const int64_t row : rows) {
        if (const auto at = index_of.find(row); at != index_of.end()) found.push_back(at->second);
      }
      return found;
    };
    parts.training = indices(record.training);
    parts.validation = indices(record.validation);
    parts.test = indices(record.test);
  }
  if (usage == "all") return parts;
  const data::Usage wanted = usage == "training"      ? data::Usage::training
                             : usage == "public-test" ? data::Usage::public_test
                                                      : data::Usage::private_test;
  for (std::vector<int64_t>* part : {&parts.all, &parts.training, &parts.validation, &parts.test})
    std::erase_if(*part, [&](int64_t row) { return dataset.usages[static_cast<size_t>(row)] != wanted; });
  if (parts.all.empty())
    throw_bad_data(fmt::format("{} has no rows of usage {}", dataset.source, usage),
                   "`mien data info` shows what it has");
  return parts;
}

}  // namespace

void ExplainRunOptions::bind(OptionSet& options, bool has_data, bool chooses_rows) {
  options.group("look");
  options.add(
      &out,
      {.name = "out", .help = "folder to write into; the default is explain/ in a run folder, else runs/explain"});
  if (has_data && chooses_rows) {
    options.add(&rows,
                {.name = "rows", .help = "rows of the data, from 0, such as 5,7-9: short for --faces rows:5,7-9"});
  }
  if (has_data) {
    options.add(&usage,
                {.name = "usage",
                 .help = "rows that faces are chosen from, by their Usage",
                 .choices = {"all", "training", "public-test", "private-test"}});
    data_options.bind_ferplus(options);
    data_options.bind_reading(options);
  }
  options.add(&threads,
              {.name = "threads", .help = "threads to compute with; 0 takes all cores", .minimum = 0, .maximum = 1024});
}

std::filesystem::path ExplainRunOptions::folder() const {
  if (!out.empty()) return out;
  std::error_code ignored;
  return std::filesystem::is_directory(weights, ignored) ? std::filesystem::path(weights) / "explain"
                                                         : std::filesystem::path("runs") / "explain";
}

ExplainSession::ExplainSession(const ExplainRunOptions& options,
                               const std::vector<Figure>& figures,
                               ProgressListener& listener)
    : loaded_(network::load_weights(runs::weights_file(options.weights))) {
  check_output_folder(options.folder(), "--out");
  const network::Graph& graph = loaded_.network.graph();
  for (const Figure& figure : figures) check_figure(figure, graph);
  if (options.data.empty()) {
    const network::Shape input = graph.input_shape();
    dataset_ = {.channels = input.channels, .height = input.height, .width = input.width};
    dataset_.class_names = loaded_.info.class_names;
    for (int64_t c = dataset_.classes(); c < graph.classes(); ++c) dataset_.class_names.push_back(std::to_string(c));
    dataset_.source = "no data";
  } else {
    data::DataOptions data_options = options.data_options;
    data_options.data = options.data;
    dataset_ = runs::load_faces(data_options, loaded_, listener);
  }
  subject_.emplace(
      loaded_,
      dataset_,
      options.data.empty() ? SplitRows{} : parts_of(dataset_, runs::TrainingRecord::read(loaded_.info), options.usage),
      listener);
}

std::vector<runs::DrawnPicture> draw_figures(const ExplainRunOptions& options,
                                             const std::vector<Figure>& figures,
                                             ProgressListener& listener) {
  const auto files = runs::weights_files(options.weights);
  if (files.size() > 1) {
    std::vector<runs::DrawnPicture> drawn;
    for (const std::filesystem::path& file : files) {
      const std::filesystem::path member = file.parent_path().parent_path();
      ExplainRunOptions of_member = options;
      of_member.weights = member.string();
      of_member.out = (options.folder() / member.filename()).string();
      for (runs::DrawnPicture& picture : draw_figures(of_member, figures, listener))
        drawn.push_back(std::move(picture));
    }
    return drawn;
  }
  ExplainSession looked_at(options, figures, listener);
  if (const std::string why = report::why_no_pictures(); !why.empty())
    listener.warning(why + "; numbers (.npy) and sidecars (.json) are written");
  std::vector<runs::DrawnPicture> drawn;
  for (const Figure& figure : figures) {
    for (runs::DrawnPicture& picture : draw_figure(figure, looked_at.context(), options.folder(), true))
      drawn.push_back(std::move(picture));
  }
  for (const runs::DrawnPicture& picture : drawn)
    listener.line(fmt::format("{}  {}", picture.path.string(), picture.caption));
  return drawn;
}

std::vector<Figure> explain_figures(const MapFigure& wish, const ExplainRunOptions& options, int64_t sheet) {
  MapFigure maps = wish;
  if (!options.rows.empty()) maps.faces = "rows:" + options.rows;
  std::vector<Figure> figures{maps};
  if (sheet > 0) {
    ContactFigure contact{.map = wish.map, .sheet_faces = sheet};
    contact.picture.caption = wish.picture.caption;
    figures.emplace_back(std::move(contact));
  }
  return figures;
}

std::string method_table_text(const network::Graph* graph) {
  constexpr size_t kWidth = 80;
  constexpr size_t kIndent = 6;
  // A sentence below its method, broken where a line is full.
  const auto sentence = [](const std::string& text) {
    std::string out(kIndent - 1, ' ');
    size_t column = kIndent - 1;
    for (const std::string& word : split(text, ' ')) {
      if (column + 1 + word.size() > kWidth) {
        out += "\n" + std::string(kIndent - 1, ' ');
        column = kIndent - 1;
      }
      out += " " + word;
      column += 1 + word.size();
    }
    return out + "\n";
  };
  std::string text = fmt::format("{:<24} {:<14} {}\n", "method", "family", "map");
  for (const explain::MethodSpec& spec : explain::methods()) {
    text += fmt::format(
        "{:<24} {:<14} {}\n", spec.name, std::string(to_text(spec.family)), spec.is_signed ? "signed" : ">= 0");
    text += sentence("cost: " + spec.cost);
    if (const std::string needs = method_needs(spec, graph); !needs.empty()) text += sentence("needs: " + needs);
    text += sentence("source: " + spec.source);
  }
  return text;
}

MethodEvaluation evaluate_task(const ExplainRunOptions& options, const MapFigure& wish, ProgressListener& listener) {
  MapFigure figure = wish;
  if (!options.rows.empty()) figure.faces = "rows:" + options.rows;
  ExplainSession looked_at(options, {figure}, listener);
  ExplainContext& context = looked_at.context();
  std::vector<explain::MethodSpec> specs;
  for (const std::string& name : figure.map.names(context.graph())) specs.push_back(explain::method(name));
  const FaceRequest asked = face_request(figure, context);
  const explain::MethodEvaluation evaluation =
      explain::evaluate_methods(specs, asked.request, asked.evidence, asked.options, figure.faithfulness, listener);
  const MethodEvaluation result{.text = explain::evaluation_text(evaluation),
                                .json = explain::evaluation_json(evaluation)};
  const std::filesystem::path folder = options.folder();
  write_atomic(folder / "evaluation.txt", result.text);
  write_atomic(folder / "evaluation.csv", explain::evaluation_csv(evaluation));
  write_atomic(folder / "evaluation.json", result.json);
  const bool has_evidence = asked.evidence.defined();
  const std::string measure = has_evidence ? "mass-accuracy" : "insertion-auc";
  std::vector<report::Bar> bars;
  for (const explain::MethodRow& row : evaluation.rows) {
    const auto found = row.means.find(measure);
    if (found != row.means.end() && std::isfinite(found->second.mean)) {
      bars.push_back({.name = row.method,
                      .value = found->second.mean,
                      .interval = found->second.interval,
                      .is_reference = row.family == explain::Family::baseline});
    }
  }
  if (!bars.empty()) {
    const std::string title =
        has_evidence ? fmt::format("Share of positive relevance on the evidence, {} drawn faces", evaluation.faces)
                     : fmt::format("Insertion: mean probability while the most relevant pixels are shown, {} faces",
                                   evaluation.faces);
    report::BarStyle style{.title = title, .axis = "insertion AUC, 95 % interval", .factor = 1, .decimals = 3};
    if (has_evidence) {
      style.axis = fmt::format("share, 95 % interval; dashed: chance, {:.3f}", evaluation.chance);
      style.mark = evaluation.chance;
    }
    const bool any_reference =
        std::any_of(bars.begin(), bars.end(), [](const report::Bar& bar) { return bar.is_reference; });
    if (any_reference) style.axis += "; gray: baselines";
    report::draw_or_warn(listener, [&] { report::plot_bars(folder / "evaluation.png", bars, style); });
  }
  listener.line(fmt::format("table and plot: {}", folder.string()));
  return result;
}

std::string method_needs(const explain::MethodSpec& spec, const network::Graph* graph) {
  if (graph != nullptr && spec.unsupported_reason) {
    if (const std::string why = spec.unsupported_reason(*graph); !why.empty()) return "not defined here: " + why;
  }
  std::vector<std::string> needs;
  if (spec.reads_layer) needs.emplace_back("a layer");
  if (spec.is_random) needs.emplace_back("a seed");
  if (graph == nullptr && spec.unsupported_reason) {
    std::vector<std::string> refused;
    for (const auto& builtin : network::builtin_networks()) {
      if (!spec.unsupported_reason(network::load_graph(builtin.name)).empty()) refused.push_back(builtin.name);
    }
    if (!refused.empty()) needs.push_back(fmt::format("not for {}", join(refused, " ")));
  }
  return needs.empty() ? "-" : join(needs, ", ");
}

std::string method_table_json(const network::Graph* graph) {
  ordered_json list = ordered_json::array();
  for (const explain::MethodSpec& spec : explain::methods()) {
    ordered_json row{{"name", spec.name},
                     {"family", std::string(to_text(spec.family))},
                     {"summary", spec.summary},
                     {"signed", spec.is_signed},
                     {"cost", spec.cost},
                     {"reads_layer", spec.reads_layer},
                     {"random", spec.is_random},
                     {"needs", method_needs(spec, graph)},
                     {"source", spec.source}};
    if (graph != nullptr) row["obstacle"] = spec.unsupported_reason ? spec.unsupported_reason(*graph) : std::string();
    list.push_back(std::move(row));
  }
  return list.dump(2) + "\n";
}

}  // namespace mien::figures
