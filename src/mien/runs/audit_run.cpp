#include "mien/runs/audit_run.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/random.h"
#include "mien/core/text.h"
#include "mien/data/label_conflicts.h"
#include "mien/data/readers/ferplus.h"
#include "mien/evaluation/label_issues.h"
#include "mien/report/draw_or_warn.h"
#include "mien/report/gallery.h"
#include "mien/runs/load_faces.h"
#include "mien/runs/train_run.h"
#include "mien/training/label_dynamics.h"

namespace mien::runs {
namespace {

using evaluation::Predictions;
using nlohmann::ordered_json;

constexpr std::array<int64_t, 3> kCounts{100, 500, 1000};
constexpr int64_t kMostDistinctFolds = 50;

/// Of one face, summed over the folds that trained it.
struct FaceDynamics {
  int64_t folds = 0;
  double margin = 0, forgotten = 0;
};

/// What the folds say of every training row.
struct FoldResults {
  Predictions predictions;  ///< of the fold that left the row out, in the order of the rows
  /// Means over the folds that trained the row, [N]; NaN where none did (all left it out for its copies).
  std::vector<double> area_under_margin, forgetting;
};

/// Adds what the finished run in `folder` tells of each face to `dynamics`.
void add_dynamics(const std::filesystem::path& folder, const data::Dataset& dataset, std::vector<FaceDynamics>& sums) {
  training::LabelDynamics dynamics(dataset.labels);
  dynamics.read(folder / kLabelDynamicsFile);
  for (int64_t i = 0; i < dataset.size(); ++i) {
    const training::LabelDynamics::Face face = dynamics.face(i);
    if (face.epochs == 0) continue;
    FaceDynamics& sum = sums[static_cast<size_t>(i)];
    ++sum.folds;
    sum.margin += face.mean_margin;
    sum.forgotten += static_cast<double>(face.forgotten);
  }
}

/// Trains the folds; nothing if the user stopped it.
std::optional<FoldResults> train_folds(const RunFolder& folder,
                                       const Experiment& experiment,
                                       const OptionSet& options,
                                       const AuditOptions& audit,
                                       const data::Dataset& dataset,
                                       const data::ImageCopies& copies,
                                       ProgressListener& listener) {
  std::map<int64_t, std::pair<size_t, int64_t>> places;  // row -> fold, position
  std::vector<Predictions> folds;
  std::vector<FaceDynamics> dynamics(static_cast<size_t>(dataset.size()));
  for (int64_t k = 0; k < audit.folds; ++k) {
    Experiment fold = experiment;
    OptionSet fold_options;
    fold.bind(fold_options);
    for (const OptionSet::Entry& entry : options.entries()) {  // those of the audit are none of a fold's
      if (entry.origin != Origin::default_value && fold_options.find(entry.spec.name) != nullptr)
        fold_options.set(entry.spec.name, entry.text(), entry.origin, entry.origin_detail);
    }
    const std::string detail = fmt::format("fold {} of {}", k + 1, audit.folds);
    fold_options.set("validation", fmt::format("kfold:{}:{}", audit.folds, k), Origin::recipe, detail);
    fold_options.set("drop-leaks", "true", Origin::recipe, detail);
    fold_options.set("keep", "last", Origin::recipe, detail);  // the left-out part must not choose its own judge
    RunFolder run = RunFolder::choose(folder.path(),
                                      fmt::format("fold{:02d}", k + 1),
                                      experiment.run.exist_ok ? IfTaken::replace : IfTaken::refuse,
                                      /*reuse_finished=*/true,
                                      fold_options,
                                      run_content(fold, dataset));
    listener.line(detail);
    const bool is_finished = run.state() == RunFolder::State::finished;
    PreparedData prepared;
    if (!is_finished) prepared = prepare(dataset, fold, copies, listener);
    prepared.tracks_labels = true;
    const auto trained = train_in(run, fold, dataset, prepared, listener);
    if (!trained) return std::nullopt;
    add_dynamics(run.path(), dataset, dynamics);
    folds.push_back(trained->validation.value());
    for (int64_t i = 0; i < folds.back().size(); ++i)
      places[folds.back().rows[static_cast<size_t>(i)]] = {folds.size() - 1, i};
  }
  FoldResults results;
  Predictions& all = results.predictions;
  all.class_names = dataset.class_names;
  for (const auto& [row, place] : places) {
    const Predictions& fold = folds[place.first];
    const int64_t index = *dataset.index_of(row);
    const FaceDynamics& of = dynamics[static_cast<size_t>(index)];
    const auto trained = static_cast<double>(of.folds);  // 0 / 0 is NaN
    results.area_under_margin.push_back(of.margin / trained);
    results.forgetting.push_back(of.forgotten / trained);
    all.rows.push_back(row);
    all.labels.push_back(fold.labels[static_cast<size_t>(place.second)]);
    const auto logits = fold.logit_row(place.second);
    const auto probabilities = fold.probability_row(place.second);
    all.logits.insert(all.logits.end(), logits.begin(), logits.end());
    all.probabilities.insert(all.probabilities.end(), probabilities.begin(), probabilities.end());
    if (!dataset.files.empty()) all.files.push_back(dataset.files[static_cast<size_t>(index)]);
  }
  return results;
}

bool is_constant(std::span<const uint8_t> image) {
  return std::all_of(image.begin(), image.end(), [&](uint8_t value) { return value == image.front(); });
}

/// The detectors of one network's predictions, and those of the folds' training: low margins, and labels that were
/// forgotten often. Where no fold trained a row, these two trust its label.
evaluation::LabelIssues find_issues(const FoldResults& folds) {
  evaluation::LabelIssues issues = evaluation::find_label_issues(folds.predictions);
  evaluation::Detector margin{.name = "area-under-margin", .doubt = {}};
  evaluation::Detector forgetting{.name = "forgetting", .doubt = {}};
  constexpr double kTrusted = -std::numeric_limits<double>::infinity();
  for (const double area : folds.area_under_margin) margin.doubt.push_back(std::isnan(area) ? kTrusted : -area);
  for (const double times : folds.forgetting) forgetting.doubt.push_back(std::isnan(times) ? kTrusted : times);
  issues.detectors.push_back(std::move(margin));
  issues.detectors.push_back(std::move(forgetting));
  return issues;
}

/// How well each detector finds the labels that FER+'s plurality contradicts, and how well chance does.
ordered_json scored_by_ferplus(const Predictions& all,
                               const evaluation::LabelIssues& issues,
                               data::Dataset votes,
                               const std::string& file,
                               ProgressListener& listener,
                               std::string& text) {
  data::apply_ferplus(votes, file, data::FerPlusMode::majority, listener);
  std::vector<bool> is_wrong;
  for (int64_t i = 0; i < all.size(); ++i) {
    const auto index = votes.index_of(all.rows[static_cast<size_t>(i)]);
    is_wrong.push_back(!index || votes.labels[static_cast<size_t>(*index)] != all.labels[static_cast<size_t>(i)]);
  }
  const auto wrong = std::count(is_wrong.begin(), is_wrong.end(), true);
  ordered_json json{{"faces", all.size()}, {"contradicted", wrong}, {"detectors", ordered_json::object()}};
  text += fmt::format(
      "\nFER+'s plurality is another emotion, or none, for {} of {} labels. Of the first 100, 500, 1,000 suspects:\n"
      "{:<20} {:>8} {:>8} {:>8} {:>18}\n",
      with_commas(wrong),
      with_commas(all.size()),
      "detector",
      "100",
      "500",
      "1,000",
      "average precision");
  std::vector<evaluation::Detector> detectors = issues.detectors;
  RandomStream stream(0, "audit random", 0);
  detectors.push_back({.name = "random", .doubt = {}});
  for (int64_t i = 0; i < all.size(); ++i) detectors.back().doubt.push_back(stream.uniform());
  for (const evaluation::Detector& detector : detectors) {
    const auto quality = evaluation::ranking_quality(detector.doubt, is_wrong, kCounts);
    json["detectors"][detector.name] = {{"precision_at_100", quality.precision_at[0]},
                                        {"precision_at_500", quality.precision_at[1]},
                                        {"precision_at_1000", quality.precision_at[2]},
                                        {"average_precision", quality.average_precision}};
    text += fmt::format("{:<20} {:>8.3f} {:>8.3f} {:>8.3f} {:>18.4f}\n",
                        detector.name,
                        quality.precision_at[0],
                        quality.precision_at[1],
                        quality.precision_at[2],
                        quality.average_precision);
  }
  return json;
}

/// What the audit found, in the order of doubt.
struct Findings {
  const Predictions& all;
  const evaluation::LabelIssues& issues;
  const evaluation::Detector& detector;
  const data::Dataset& dataset;
  std::vector<int64_t> order;     ///< positions in `all`
  std::set<int64_t> conflicting;  ///< rows

  int64_t index(int64_t position) const { return *dataset.index_of(all.rows[static_cast<size_t>(position)]); }
  const std::string& name(int32_t label) const { return all.class_names[static_cast<size_t>(label)]; }
};

void write_tables(const Findings& of, int64_t suspects, const std::filesystem::path& folder) {
  std::string table = "rank,row,label,suggested,doubt,p_label,p_suggested,is_issue,copy_has_another_label,is_constant";
  for (const auto& detector : of.issues.detectors) table += "," + detector.name;
  table += "\n";
  std::string corrections = "row,label,was,doubt\n";
  for (size_t rank = 0; rank < of.order.size(); ++rank) {
    const int64_t i = of.order[rank];
    const int64_t row = of.all.rows[static_cast<size_t>(i)];
    const int32_t label = of.all.labels[static_cast<size_t>(i)];
    const int32_t suggested = of.all.predicted(i);
    const double doubt = of.detector.doubt[static_cast<size_t>(i)];
    const bool is_blank = is_constant(of.dataset.image(of.index(i)));
    table += fmt::format("{},{},{},{},{:.6f},{:.6f},{:.6f},{:d},{:d},{:d}",
                         rank + 1,
                         row,
                         of.name(label),
                         of.name(suggested),
                         doubt,
                         of.all.probability_row(i)[static_cast<size_t>(label)],
                         of.all.probability_row(i)[static_cast<size_t>(suggested)],
                         static_cast<bool>(of.issues.is_issue[static_cast<size_t>(i)]),
                         of.conflicting.contains(row),
                         is_blank);
    for (const auto& detector : of.issues.detectors)
      table += fmt::format(",{:.6f}", detector.doubt[static_cast<size_t>(i)]);
    table += "\n";
    const bool is_suspect = static_cast<int64_t>(rank) < suspects && suggested != label;
    if (is_blank || is_suspect)
      corrections +=
          fmt::format("{},{},{},{:.6f}\n", row, is_blank ? "drop" : of.name(suggested), of.name(label), doubt);
  }
  write_atomic(folder / "suspects.csv", table);
  write_atomic(folder / "corrections.csv", corrections);
}

void draw_galleries(const Findings& of, int64_t faces, const std::filesystem::path& folder) {
  for (int32_t label = 0; label < static_cast<int32_t>(of.all.classes()); ++label) {
    std::vector<report::Tile> tiles;
    for (const int64_t i : of.order) {
      if (static_cast<int64_t>(tiles.size()) == faces) break;
      if (of.all.labels[static_cast<size_t>(i)] != label || of.all.predicted(i) == label) continue;
      tiles.push_back({.image = of.dataset.image(of.index(i)),
                       .caption = fmt::format("{} {:.0f} %\n{}",
                                              of.name(of.all.predicted(i)),
                                              100 * of.all.probability_row(i)[static_cast<size_t>(of.all.predicted(i))],
                                              std::filesystem::path(of.all.face_name(i)).filename().string()),
                       .frame = report::TileFrame::wrong});
    }
    if (tiles.empty()) continue;
    report::write_gallery(folder / fmt::format("suspects_{}.png", of.name(label)),
                          tiles,
                          5,
                          fmt::format("Labeled {}, and what the network that has not seen them says", of.name(label)),
                          of.dataset.height,
                          of.dataset.width);
  }
}

}  // namespace

void AuditOptions::bind(OptionSet& options) {
  options.group("audit");
  options.add(&folds,
              {.name = "folds",
               .help = "parts of the training rows; each is judged by a network trained on the others",
               .minimum = 2,
               .maximum = kMostDistinctFolds,
               .level = OptionLevel::common});
  options.add(
      &detector,
      {.name = "rank-by",
       .help = "what ranks the suspects in tables and galleries",
       .choices = {"confident-learning", "self-confidence", "margin", "entropy", "area-under-margin", "forgetting"},
       .level = OptionLevel::common});
  options.add(&suspects,
              {.name = "suspects",
               .help = "suspects whose suggested label goes into corrections.csv",
               .minimum = 0,
               .maximum = 1e9,
               .level = OptionLevel::common});
  options.add(&gallery,
              {.name = "suspect-faces", .help = "faces in each class's gallery", .minimum = 1, .maximum = 400});
  options.add(&score_ferplus,
              {.name = "score-ferplus",
               .help = "file of FER+ votes (fer2013new.csv) that the detectors are scored against, beside chance",
               .level = OptionLevel::common});
}

std::optional<AuditOutcome> audit_task(const Experiment& experiment,
                                       const OptionSet& options,
                                       const AuditOptions& audit,
                                       ProgressListener& listener) {
  if (experiment.ensemble.members > 1) throw_usage("--members has no meaning for an audit", "leave it out");
  data::Dataset dataset = load_faces(experiment.data, network::load_graph(experiment.run.network), listener);
  check_request(experiment, dataset);
  RunFolder folder = RunFolder::choose(experiment.run.project,
                                       experiment.run.name.empty() ? "audit" : experiment.run.name,
                                       experiment.run.exist_ok,
                                       /*reuse_finished=*/true,
                                       options,
                                       run_content(experiment, dataset));
  const data::ImageCopies copies = data::find_copies(dataset, experiment.leaks);
  std::set<int64_t> conflicting;
  for (const int64_t face : data::faces_with_another_label(dataset, copies)) conflicting.insert(dataset.row_of(face));
  const auto folds = train_folds(folder, experiment, options, audit, dataset, copies, listener);
  if (!folds) {
    folder.save("interrupted");
    return std::nullopt;
  }
  const Predictions* const all = &folds->predictions;
  const evaluation::LabelIssues issues = find_issues(*folds);
  const auto detector = std::find_if(issues.detectors.begin(), issues.detectors.end(), [&](const auto& candidate) {
    return candidate.name == audit.detector;
  });
  const Findings findings{.all = *all,
                          .issues = issues,
                          .detector = *detector,
                          .dataset = dataset,
                          .order = evaluation::ranked(detector->doubt),
                          .conflicting = conflicting};
  write_tables(findings, audit.suspects, folder.path());
  report::draw_or_warn(listener, [&] { draw_galleries(findings, audit.gallery, folder.path()); });
  const auto found = std::count(issues.is_issue.begin(), issues.is_issue.end(), true);
  ordered_json json{{"folder", folder.path().string()},
                    {"faces", all->size()},
                    {"issues", found},
                    {"faces_whose_copy_has_another_label", findings.conflicting.size()},
                    {"thresholds", issues.thresholds},
                    {"confident_joint", issues.confident_joint}};
  AuditOutcome outcome{.folder = folder.path()};
  outcome.text =
      fmt::format("{} of {} labels are doubtful by confident learning; {} faces have a copy of another label\n",
                  with_commas(found),
                  with_commas(all->size()),
                  with_commas(static_cast<int64_t>(findings.conflicting.size())));
  if (!audit.score_ferplus.empty())
    json["ferplus"] = scored_by_ferplus(*all, issues, dataset, audit.score_ferplus, listener, outcome.text);
  outcome.text += fmt::format("suspects, corrections and galleries: {}\n", folder.path().string());
  outcome.json = json.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
  write_atomic(folder.path() / "audit.json", outcome.json);
  folder.save("finished");
  return outcome;
}

}  // namespace mien::runs
