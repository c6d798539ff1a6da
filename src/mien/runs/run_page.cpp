#include "mien/runs/run_page.h"

#include <algorithm>
#include <cmath>
#include <ctime>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/evaluation/confusion.h"
#include "mien/network/graph/graph.h"
#include "mien/report/app_page.h"
#include "mien/report/canvas.h"
#include "mien/report/draw_or_warn.h"
#include "mien/report/plots.h"
#include "mien/report/run_report.h"
#include "mien/runs/compare_runs.h"
#include "mien/runs/data_pictures.h"
#include "mien/runs/evaluate_run.h"
#include "mien/runs/run_document.h"
#include "mien/runtime/environment.h"

namespace mien::runs {
namespace {

using evaluation::Metrics;
using report::ReportFact;
using report::ReportFigure;
using report::ReportSection;

std::string percent(double rate, int decimals = 1) {
  return std::isfinite(rate) ? fmt::format("{:.{}f} %", 100 * rate, decimals) : "-";
}
std::string interval_text(const evaluation::Interval& interval, int decimals = 1) {
  return fmt::format("{:.{}f} to {:.{}f} %", 100 * interval.low, decimals, 100 * interval.high, decimals);
}

/// Adds the picture if the run has it.
void add_figure(ReportSection& section,
                const std::filesystem::path& picture,
                const std::string& caption,
                int64_t width = 0) {
  if (std::filesystem::is_regular_file(picture))
    section.figures.push_back({.picture = picture, .caption = caption, .width = width});
}

report::HtmlTable class_table(const Metrics& metrics) {
  report::HtmlTable table({"class", "faces", "recall", "95 % interval", "precision", "F1", "AUC"}, "Per class");
  for (const auto& entry : metrics.classes) {
    table.add_row({entry.name,
                   with_commas(entry.support),
                   percent(entry.recall),
                   interval_text(entry.recall_interval),
                   percent(entry.precision),
                   fmt::format("{:.3f}", entry.f1),
                   std::isfinite(entry.auc) ? fmt::format("{:.3f}", entry.auc) : "-"});
  }
  return table;
}

report::HtmlTable overall_table(const Metrics& metrics) {
  report::HtmlTable table(
      {"measure", "value", "95 % interval"},
      fmt::format("Over {} labeled faces{}",
                  with_commas(metrics.count),
                  metrics.label_source.empty() ? "" : fmt::format(", {} labels", metrics.label_source)));
  const auto number = [](double value) {
    return std::isfinite(value) ? fmt::format("{:.4f}", value) : std::string("-");
  };
  table.add_row({"accuracy", percent(metrics.accuracy, 2), interval_text(metrics.accuracy_interval, 2)});
  table.add_row({"balanced accuracy",
                 percent(metrics.balanced_accuracy, 2),
                 interval_text(metrics.balanced_accuracy_interval, 2)});
  table.add_row({"top-2 accuracy", percent(metrics.top2_accuracy, 2), interval_text(metrics.top2_interval, 2)});
  table.add_row({"macro F1",
                 number(metrics.macro_f1),
                 fmt::format("{:.3f} to {:.3f}", metrics.macro_f1_interval.low, metrics.macro_f1_interval.high)});
  table.add_row({"weighted F1", number(metrics.weighted_f1), ""});
  table.add_row({"Cohen's kappa", number(metrics.kappa), ""});
  table.add_row({"Matthews correlation", number(metrics.matthews), ""});
  table.add_row({"log loss (nats)", number(metrics.log_loss), ""});
  table.add_row({"Brier score (0 to 2)", number(metrics.brier), ""});
  table.add_row({"expected calibration error", number(metrics.expected_calibration_error), ""});
  table.add_row({"macro AUC", number(metrics.macro_auc), ""});
  return table;
}

/// How the matrix reads, in words: best and worst class, and what the worst is taken for.
std::string reading(const Metrics& metrics) {
  const auto by_recall = [](const auto& a, const auto& b) { return a.recall < b.recall; };
  const auto [worst, best] = std::minmax_element(metrics.classes.begin(), metrics.classes.end(), by_recall);
  std::string text = fmt::format("{} is recognized best ({} of its faces), {} worst ({}).",
                                 best->name,
                                 percent(best->recall),
                                 worst->name,
                                 percent(worst->recall));
  const auto pairs = evaluation::most_confused(metrics.confusion, 3);
  std::vector<std::string> parts;
  for (const auto& pair : pairs) {
    parts.push_back(fmt::format("{} taken for {} ({} faces, {} of the class)",
                                metrics.classes[static_cast<size_t>(pair.truth)].name,
                                metrics.classes[static_cast<size_t>(pair.predicted)].name,
                                pair.count,
                                percent(pair.share_of_truth)));
  }
  if (!parts.empty()) text += " Most often confused: " + join(parts, "; ") + ".";
  return text;
}

ReportSection judged_section(const RunSummary& run,
                             const Metrics& metrics,
                             const std::string& part,
                             const std::string& title) {
  ReportSection section{
      .title = title, .paragraphs = {reading(metrics)}, .tables = {overall_table(metrics), class_table(metrics)}};
  const auto picture = [&](const char* stem) { return run.folder / part_file(stem, ".png", part); };
  add_figure(section, picture("confusion_matrix_normalized"), "Confusion matrix, share of each true class");
  add_figure(section, picture("confusion_matrix"), "Confusion matrix, counts");
  add_figure(section, picture("calibration"), "Reliability: how often the network is right against how sure it is");
  add_figure(section, picture("top_losses"), "The faces the network was most wrong about; the row is that of the data");
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(run.folder, ignored)) {
    const std::string stem = entry.path().stem().string();
    const bool is_cell = entry.path().extension() == ".png" && stem.find("_as_") != std::string::npos;
    const bool is_of_part =
        part == "val" ? !stem.ends_with("_public_test") && !stem.ends_with("_vote") : stem.ends_with("_" + part);
    if (is_cell && is_of_part) add_figure(section, entry.path(), "Faces of one class taken for another, surest first");
  }
  return section;
}

std::string network_text(const std::string& name) {
  try {
    return network::summary_table(network::load_graph(name));
  } catch (const Error&) {
    return "";  // a network file that is no longer where it was
  }
}

std::vector<ReportFact> run_facts(const RunSummary& run) {
  std::vector<ReportFact> facts;
  const auto add_accuracy = [&](const std::string& name, const std::optional<Metrics>& metrics) {
    if (metrics)
      facts.push_back(
          {name,
           percent(metrics->accuracy),
           fmt::format("{}, {} faces{}",
                       interval_text(metrics->accuracy_interval),
                       with_commas(metrics->count),
                       metrics->label_source.empty() ? "" : fmt::format(", {} labels", metrics->label_source))});
  };
  add_accuracy(run.test_name + " accuracy", run.test_metrics);
  add_accuracy("validation accuracy", run.validation_metrics);
  facts.push_back({"best epoch", fmt::format("{} of {}", run.best_epoch, run.history.size()), run.stop_reason});
  facts.push_back({"training", format_duration(run.seconds), fmt::format("{:.0f} faces/s", run.faces_per_second)});
  facts.push_back(
      {"parameters", with_commas(run.total_parameters), with_commas(run.trainable_parameters) + " trainable"});
  return facts;
}

/// The chapters of one run.
std::vector<ReportSection> run_sections(const RunSummary& run, const std::string& prefix) {
  std::vector<ReportSection> sections;
  ReportSection training{.title = prefix + "Training", .paragraphs = {run.split}};
  if (!run.leaks.empty()) training.paragraphs.push_back("Leak check: " + run.leaks);
  add_figure(training, run.folder / "results.png", "Accuracy and loss per epoch; training dashed, validation solid");
  add_figure(training,
             run.folder / "loss_against_accuracy.png",
             "Accuracy against training loss: where validation stops following, learning has stopped");
  add_figure(training, run.folder / "train_batch0.png", "The first training batch as the network sees it");
  sections.push_back(std::move(training));
  if (run.test_metrics)
    sections.push_back(judged_section(
        run, *run.test_metrics, "public_test", prefix + fmt::format("Judged on {} rows", run.test_name)));
  if (run.validation_metrics)
    sections.push_back(judged_section(run, *run.validation_metrics, "val", prefix + "Judged on validation rows"));
  ReportSection explained{.title = prefix + "Looked inside",
                          .paragraphs = {"How each picture was made, and how far it can be trusted, stands beside it "
                                         "in explain/ as .json; its numbers as .npy."}};
  for (const DrawnPicture& picture : read_figures(run.folder)) add_figure(explained, picture.path, picture.caption);
  if (!explained.figures.empty()) sections.push_back(std::move(explained));
  sections.push_back({.title = prefix + "Network " + run.network, .preformatted = network_text(run.network)});
  return sections;
}

std::string accuracy_cell(const std::optional<Metrics>& metrics) {
  return metrics ? fmt::format("{} ({})", percent(metrics->accuracy), interval_text(metrics->accuracy_interval)) : "-";
}

struct Column {
  const char* name;
  std::string (*text)(const RunSummary& run);
};
const Column kColumns[] = {
    {"run", [](const RunSummary& r) { return r.name; }},
    {"network", [](const RunSummary& r) { return r.network; }},
    {"parameters", [](const RunSummary& r) { return with_commas(r.total_parameters); }},
    {"epochs", [](const RunSummary& r) { return std::to_string(r.history.size()); }},
    {"s/epoch", [](const RunSummary& r) { return fmt::format("{:.1f}", r.seconds_per_epoch()); }},
    {"faces/s", [](const RunSummary& r) { return fmt::format("{:.0f}", r.faces_per_second); }},
    {"validation (95 % interval)", [](const RunSummary& r) { return accuracy_cell(r.validation_metrics); }},
    {"PublicTest (95 % interval)", [](const RunSummary& r) { return accuracy_cell(r.test_metrics); }},
    {"% per M parameters",
     [](const RunSummary& r) {
       return r.judged()
                  ? fmt::format("{:.1f}", 100 * r.judged()->accuracy / (static_cast<double>(r.total_parameters) * 1e-6))
                  : "-";
     }},
};

std::vector<std::string> paired_test_lines(const std::vector<RunSummary>& runs) {
  std::vector<std::string> lines;
  for (const auto& [first, second, c] : paired_tests(runs)) {
    lines.push_back(fmt::format(
        "{} against {}: {:+.2f} points of accuracy (95 % interval {:+.2f} to {:+.2f}), McNemar p = {:.2g}: {}.",
        runs[second].name,
        runs[first].name,
        100 * c.accuracy.difference,
        100 * c.accuracy.interval.low,
        100 * c.accuracy.interval.high,
        c.mcnemar_p_value,
        c.mcnemar_p_value < 0.05 ? "chance hardly explains it" : "chance may explain it"));
  }
  return lines;
}

/// What one of the ensemble's networks alone does, over their seeds.
std::string members_text(const EnsembleSummary& ensemble) {
  std::vector<double> rates;
  for (const RunSummary& member : ensemble.members) {
    if (member.judged() != nullptr) rates.push_back(member.judged()->accuracy);
  }
  return rates.empty() ? "" : fmt::format("Accuracy of a single member: {}.", mean_text(rates));
}

}  // namespace

report::HtmlTable comparison_table(const std::vector<RunSummary>& runs) {
  std::vector<std::string> header;
  for (const Column& column : kColumns) header.emplace_back(column.name);
  report::HtmlTable table(header, "Runs side by side");
  for (const RunSummary& run : runs) {
    std::vector<std::string> cells;
    for (const Column& column : kColumns) cells.push_back(column.text(run));
    table.add_row(cells);
  }
  return table;
}

std::string comparison_text(const std::vector<RunSummary>& runs) {
  std::string out;
  std::vector<std::vector<std::string>> lines(runs.size() + 1);
  for (const Column& column : kColumns) {
    lines[0].emplace_back(column.name);
    size_t width = lines[0].back().size();
    for (size_t i = 0; i < runs.size(); ++i) {
      lines[i + 1].push_back(column.text(runs[i]));
      width = std::max(width, lines[i + 1].back().size());
    }
    for (auto& line : lines) line.back() = fmt::format("{:<{}}", line.back(), width);
  }
  for (const auto& line : lines) out += std::string(trim(join(line, "  "))) + "\n";
  return out;
}

std::string comparison_csv(const std::vector<RunSummary>& runs) {
  std::string out =
      "run,network,total_parameters,trainable_parameters,epochs,seconds_per_epoch,faces_per_second,validation_accuracy,"
      "validation_low,"
      "validation_high,public_test_accuracy,public_test_low,public_test_high\n";
  for (const RunSummary& run : runs) {
    const auto rate = [](const std::optional<Metrics>& m) {
      return m ? fmt::format("{},{},{}", m->accuracy, m->accuracy_interval.low, m->accuracy_interval.high)
               : std::string(",,");
    };
    out += fmt::format("{},{},{},{},{},{},{},{},{}\n",
                       run.name,
                       run.network,
                       run.total_parameters,
                       run.trainable_parameters,
                       run.history.size(),
                       run.seconds_per_epoch(),
                       run.faces_per_second,
                       rate(run.validation_metrics),
                       rate(run.test_metrics));
  }
  return out;
}

namespace {

/// The options of `folder`, and what they were carried out with.
report::ReportSection how_to_repeat(const std::filesystem::path& folder) {
  const runtime::Environment& e = runtime::environment();
  report::ReportSection section{
      .title = "How to do it again",
      .paragraphs = {
          fmt::format("Made on {:%Y-%m-%d} by mien {} (commit {}, {}, libtorch {}, {}). The options stand below "
                      "and in {}, the data with their checksum in its run.json.",
                      fmt::gmtime(std::time(nullptr)),
                      e.mien_version,
                      e.mien_commit,
                      e.compiler,
                      e.libtorch_version,
                      e.blas,
                      folder.string())}};
  for (const char* name : {"recipe.toml", "args.toml"}) {
    std::error_code ignored;
    if (std::filesystem::exists(folder / name, ignored))
      section.preformatted += fmt::format("# {}\n{}\n", name, read_text(folder / name, 1 << 20));
  }
  return section;
}

void tell_left_out(const EmbeddedPictures& pictures, const std::filesystem::path& folder, ProgressListener& listener) {
  if (pictures.left_out() > 0)
    listener.line(fmt::format(
        "{} pictures do not fit into one file: `mien serve {}` shows them all", pictures.left_out(), folder.string()));
}

}  // namespace

void write_run_page(const RunSummary& run, ProgressListener& listener, PageKind kind) {
  if (kind == PageKind::interactive) {
    EmbeddedPictures pictures;
    const std::string json = run_document(run, pictures);
    tell_left_out(pictures, run.folder, listener);
    return report::write_app_page(run.folder / "report.html", run.name, json);
  }
  report::RunReport page{.title = run.name,
                         .subtitle = fmt::format("{} on {}", run.network, run.data),
                         .facts = run_facts(run),
                         .sections = run_sections(run, "")};
  page.sections.push_back(how_to_repeat(run.folder));
  report::write_report(run.folder / "report.html", page);
}

void write_ensemble_page(const EnsembleSummary& ensemble, ProgressListener& listener, PageKind kind) {
  if (kind == PageKind::interactive) {
    EmbeddedPictures pictures;
    const std::string json = ensemble_document(ensemble, pictures);
    tell_left_out(pictures, ensemble.folder, listener);
    return report::write_app_page(ensemble.folder / "report.html", ensemble.folder.filename().string(), json);
  }
  report::RunReport page{
      .title = ensemble.folder.filename().string(),
      .subtitle = fmt::format("{} networks by seed, judged on {}", ensemble.members.size(), ensemble.judged_on)};
  report::HtmlTable votes({"vote", "accuracy", "95 % interval", "macro F1", "log loss (nats)"},
                          "Ways to combine the members");
  for (const VoteOutcome& outcome : ensemble.votes) {
    const Metrics& m = outcome.metrics;
    votes.add_row({outcome.vote,
                   percent(m.accuracy, 2),
                   interval_text(m.accuracy_interval, 2),
                   fmt::format("{:.4f}", m.macro_f1),
                   fmt::format("{:.4f}", m.log_loss)});
    page.facts.push_back({outcome.vote, percent(m.accuracy), interval_text(m.accuracy_interval)});
  }
  ReportSection voting{
      .title = "The vote",
      .paragraphs = {"The weights of the weighted vote are cross-fitted: each half of the judged rows is judged with "
                     "weights fitted on the other half.",
                     "Log losses of the majority vote are those of vote shares, which are not meant as probabilities."},
      .tables = {votes}};
  add_figure(voting,
             ensemble.folder / "members.png",
             "Accuracy against the number of members: mean over subsets, its 95 % interval and the range");
  add_figure(voting,
             ensemble.folder / "confusion_matrix_normalized_vote.png",
             "Confusion matrix of the vote, share of each true class");
  add_figure(voting, ensemble.folder / "confusion_matrix_vote.png", "Confusion matrix of the vote, counts");
  add_figure(voting, ensemble.folder / "top_losses_vote.png", "The faces the vote was most wrong about");
  page.sections.push_back(std::move(voting));
  page.sections.push_back(
      {.title = "The members", .paragraphs = {members_text(ensemble)}, .tables = {comparison_table(ensemble.members)}});
  report::write_report(ensemble.folder / "report.html", page);
}

namespace {

struct DrawnFigure {
  std::filesystem::path file;
  std::string caption;
};

/// Writes comparison.csv and the pictures that compare the runs into the recipe's folder. A picture that cannot be
/// drawn is a warning.
std::vector<DrawnFigure> draw_comparison(const RecipePage& recipe,
                                         const std::vector<RunSummary>& runs,
                                         ProgressListener& listener) {
  std::vector<DrawnFigure> drawn;
  if (runs.empty()) return drawn;
  write_atomic(recipe.folder / "comparison.csv", comparison_csv(runs));
  report::draw_or_warn(listener, [&] {
    std::vector<report::NamedHistory> histories;
    std::vector<report::Bar> bars;
    for (const RunSummary& run : runs) {
      if (!run.history.empty()) histories.push_back({.name = run.name, .rows = run.history});
      if (run.judged())
        bars.push_back(
            {.name = run.name, .value = run.judged()->accuracy, .interval = run.judged()->accuracy_interval});
    }
    if (runs.size() > 1 && !histories.empty()) {
      report::plot_history(recipe.folder / "results.png", histories, recipe.title);
      drawn.push_back({recipe.folder / "results.png", "Accuracy and loss per epoch of all runs"});
    }
    if (!bars.empty()) {
      report::plot_bars(recipe.folder / "accuracy.png",
                        bars,
                        {.title = runs.front().test_metrics ? "Accuracy on PublicTest, 95 % interval"
                                                            : "Accuracy on validation rows, 95 % interval"});
      drawn.push_back({recipe.folder / "accuracy.png", "Accuracy with its interval"});
    }
  });
  return drawn;
}

}  // namespace

void write_recipe_page(const RecipePage& recipe,
                       const std::vector<RunSummary>& runs,
                       const std::vector<EnsembleSummary>& ensembles,
                       ProgressListener& listener,
                       PageKind kind) {
  const std::vector<DrawnFigure> comparing = draw_comparison(recipe, runs, listener);
  if (kind == PageKind::interactive) {
    EmbeddedPictures pictures;
    const std::string json = recipe_document(recipe, runs, ensembles, pictures);
    tell_left_out(pictures, recipe.folder, listener);
    return report::write_app_page(recipe.folder / "report.html", recipe.title, json);
  }
  report::RunReport page{.title = recipe.title, .subtitle = recipe.source};
  ReportSection data{.title = "The data", .paragraphs = {recipe.description}, .preformatted = recipe.class_table};
  add_figure(data, recipe.folder / "classes.png", "Faces of each class");
  add_figure(data, recipe.folder / "examples.png", "One labeled face of each class");
  page.sections.push_back(std::move(data));
  if (!runs.empty()) {
    ReportSection comparison{
        .title = "Comparison", .paragraphs = paired_test_lines(runs), .tables = {comparison_table(runs)}};
    for (const DrawnFigure& figure : comparing) add_figure(comparison, figure.file, figure.caption);
    page.sections.push_back(std::move(comparison));
  }
  for (const RunSummary& run : runs) {
    if (run.judged())
      page.facts.push_back({fmt::format("{} on {}", run.name, run.test_metrics ? run.test_name : "validation rows"),
                            percent(run.judged()->accuracy),
                            interval_text(run.judged()->accuracy_interval)});
    for (ReportSection& section : run_sections(run, runs.size() > 1 ? run.name + ": " : ""))
      page.sections.push_back(std::move(section));
  }
  for (const EnsembleSummary& ensemble : ensembles) {
    ReportSection section{
        .title = fmt::format("Ensemble {}", ensemble.folder.filename().string()),
        .paragraphs = {fmt::format("{} members, judged on {}.", ensemble.members.size(), ensemble.judged_on),
                       members_text(ensemble)}};
    report::HtmlTable votes({"vote", "accuracy", "95 % interval", "macro F1"}, "Ways to combine the members");
    for (const VoteOutcome& outcome : ensemble.votes) {
      const Metrics& m = outcome.metrics;
      votes.add_row({outcome.vote,
                     percent(m.accuracy, 2),
                     interval_text(m.accuracy_interval, 2),
                     fmt::format("{:.4f}", m.macro_f1)});
      page.facts.push_back({fmt::format("{} vote of {}", outcome.vote, ensemble.members.size()),
                            percent(m.accuracy),
                            interval_text(m.accuracy_interval)});
    }
    section.tables = {votes, comparison_table(ensemble.members)};
    add_figure(section, ensemble.folder / "members.png", "Accuracy against the number of members");
    add_figure(section,
               ensemble.folder / "confusion_matrix_normalized_vote.png",
               "Confusion matrix of the vote, share of each true class");
    add_figure(section, ensemble.folder / "confusion_matrix_vote.png", "Confusion matrix of the vote, counts");
    page.sections.push_back(std::move(section));
    if (!ensemble.members.empty()) {
      page.sections.push_back({.title = "Network " + ensemble.members.front().network,
                               .preformatted = network_text(ensemble.members.front().network)});
    }
  }
  page.sections.push_back(how_to_repeat(recipe.folder));
  report::write_report(recipe.folder / "report.html", page);
}

}  // namespace mien::runs
