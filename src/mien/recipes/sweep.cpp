#include "mien/recipes/sweep.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <numeric>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/random.h"
#include "mien/core/text.h"
#include "mien/core/toml_values.h"
#include "mien/evaluation/intervals.h"
#include "mien/recipes/recipe.h"
#include "mien/report/draw_or_warn.h"
#include "mien/report/plots.h"
#include "mien/runs/load_faces.h"
#include "mien/runs/train_run.h"

namespace mien::recipes {
namespace {

using nlohmann::ordered_json;
using Values = std::vector<std::string>;

constexpr int64_t kMostCombinations = 100'000;

/// An experiment with its options; refers to itself, so it does not move.
struct Trial {
  Trial() { experiment.bind(options); }
  Trial(const Trial&) = delete;
  Trial& operator=(const Trial&) = delete;
  void set(const Override& setting) { options.set(setting.name, setting.text, setting.origin, setting.detail); }
  runs::Experiment experiment;
  OptionSet options;
};

/// Reads [sweep]; the recipe's options go into `sweep.options`.
void read_head(const toml::table& table, Sweep& sweep) {
  std::string recipe, run;
  std::string strategy = "grid";
  OptionSet head;
  head.group("sweep");
  head.add(&strategy, {.name = "strategy", .help = "", .choices = {"grid", "random", "halving"}});
  head.add(&sweep.samples, {.name = "samples", .help = "", .minimum = 1, .maximum = kMostCombinations});
  head.add(&sweep.sweep_seed, {.name = "sweep-seed", .help = "", .minimum = 0});
  head.add(&sweep.seeds, {.name = "seeds", .help = "", .minimum = 1, .maximum = 1000});
  head.add(&sweep.minutes, {.name = "minutes", .help = "", .minimum = 0});
  head.add(&sweep.eta, {.name = "eta", .help = "", .minimum = 2, .maximum = 100});
  head.add(&sweep.first_epochs, {.name = "first-epochs", .help = "", .minimum = 1});
  head.add(&sweep.judge, {.name = "judge", .help = "", .choices = {"validation", "test"}});
  head.add(&recipe, {.name = "recipe", .help = ""});
  head.add(&run, {.name = "run", .help = ""});
  for (const auto& [key, node] : table) {
    const std::string place = toml_place(sweep.file, node.source());
    head.set(key.str(), toml_value_text(node, place, key.str()), Origin::config_file, place);
  }
  constexpr std::array kStrategies{SweepStrategy::grid, SweepStrategy::random, SweepStrategy::halving};
  sweep.strategy = kStrategies.at(strategy == "grid" ? 0 : strategy == "random" ? 1 : 2);
  if (recipe.empty()) return;
  const Recipe base = load_recipe(recipe);
  const auto chosen = std::find_if(base.runs.begin(), base.runs.end(), [&](const RecipeRun& candidate) {
    return run.empty() ? base.runs.size() == 1 : candidate.name == run;
  });
  if (chosen == base.runs.end()) {
    Values names;
    for (const RecipeRun& candidate : base.runs) names.push_back(candidate.name);
    throw_usage(fmt::format("{}: recipe {} has {}", sweep.file, recipe, run.empty() ? "several runs" : "no run " + run),
                "run = one of: " + join(names, ", "));
  }
  sweep.options = base.options;
  sweep.options.insert(sweep.options.end(), chosen->options.begin(), chosen->options.end());
}

const toml::table& table_of(const toml::node& node, const std::string& file, std::string_view key) {
  if (!node.is_table())
    throw_usage(fmt::format("{}: {} is no table", toml_place(file, node.source()), key),
                "write [" + std::string(key) + "]");
  return *node.as_table();
}

/// A name of a folder that says the values: "lr=0.1,flip=0.5-seed0".
std::string folder_name(const Sweep& sweep, const Values& values, int64_t seed, int64_t epochs) {
  std::string name;
  for (size_t i = 0; i < values.size(); ++i) name += (i > 0 ? "," : "") + sweep.values[i].first + "=" + values[i];
  for (char& c : name) {
    const bool is_plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!is_plain && std::string_view("=,._-").find(c) == std::string_view::npos) c = '_';
  }
  return fmt::format("{}-seed{}{}", name.substr(0, 150), seed, epochs > 0 ? fmt::format("-epochs{}", epochs) : "");
}

/// Runs trainings one after the other, with the data kept from one to the next.
class SweepRun {
 public:
  SweepRun(const Sweep& sweep, std::filesystem::path folder, ProgressListener& listener)
      : sweep_(sweep), folder_(std::move(folder)), listener_(listener) {}

  enum class Outcome { done, no_time, stopped };
  /// Trains every seed of a combination, for `epochs` (0: as many as the options say), into `row`.
  Outcome train(const Values& values, int64_t epochs, SweepRow& row);
  /// For how many epochs the options let train.
  int64_t full_epochs() const;

 private:
  void load(const Trial& trial);

  const Sweep& sweep_;
  std::filesystem::path folder_;
  ProgressListener& listener_;
  std::string data_key_;
  data::Dataset dataset_;
  std::optional<data::ImageCopies> copies_;
  double seconds_ = 0;  ///< of all trainings so far, those of earlier starts included
  double longest_ = 0;  ///< seconds of an epoch, the most so far
};

int64_t SweepRun::full_epochs() const {
  Trial trial;
  for (const Override& setting : sweep_.options) trial.set(setting);
  return trial.experiment.train.loop.epochs;
}

void SweepRun::load(const Trial& trial) {
  const network::Graph graph = network::load_graph(trial.experiment.run.network);
  std::string key = std::to_string(graph.input_shape().channels);
  for (const OptionSet::Entry& entry : trial.options.entries()) {
    if (entry.group == "data" || entry.group == "leaks") key += entry.text() + "\n";
  }
  if (key == data_key_) return;
  dataset_ = runs::load_faces(trial.experiment.data, graph, listener_);
  copies_.reset();
  data_key_ = key;
}

SweepRun::Outcome SweepRun::train(const Values& values, int64_t epochs, SweepRow& row) {
  row.values = values;
  std::vector<double> seconds;
  int64_t faces = 0;
  for (int64_t seed = 0; seed < sweep_.seeds; ++seed) {
    Trial trial;
    for (const Override& setting : sweep_.options) trial.set(setting);
    for (size_t i = 0; i < values.size(); ++i)
      trial.options.set(sweep_.values[i].first, values[i], Origin::recipe, sweep_.file);
    trial.options.set("seed", std::to_string(seed), Origin::recipe, sweep_.file);
    if (epochs > 0) trial.options.set("epochs", std::to_string(epochs), Origin::recipe, sweep_.file);
    row.epochs = trial.experiment.train.loop.epochs;
    load(trial);
    runs::check_request(trial.experiment, dataset_);
    runs::RunFolder run = runs::RunFolder::choose(folder_,
                                                  folder_name(sweep_, values, seed, epochs),
                                                  /*exist_ok=*/false,
                                                  /*reuse_finished=*/true,
                                                  trial.options,
                                                  runs::run_content(trial.experiment, dataset_));
    const bool is_finished = run.state() == runs::RunFolder::State::finished;
    const double expected = longest_ * static_cast<double>(row.epochs);
    if (!is_finished && sweep_.minutes > 0 && seconds_ + expected > 60 * sweep_.minutes) return Outcome::no_time;
    if (!is_finished && !copies_) copies_ = data::find_copies(dataset_, trial.experiment.leaks);
    runs::PreparedData prepared;
    if (!is_finished) prepared = runs::prepare(dataset_, trial.experiment, *copies_, listener_);
    const auto summary = runs::train_in(run, trial.experiment, dataset_, prepared, listener_);
    if (!summary) return Outcome::stopped;
    const auto& metrics = sweep_.judge == "test" ? summary->test_metrics : summary->validation_metrics;
    if (!metrics)
      throw_usage(fmt::format("{}: there are no {} rows to judge by", sweep_.file, sweep_.judge),
                  "judge = \"validation\" needs --validation, \"test\" data with rows of usage PublicTest");
    row.accuracies.push_back(metrics->accuracy);
    row.folders.push_back(run.path().string());
    faces = metrics->count;
    seconds.push_back(summary->seconds);
    seconds_ += summary->seconds;
    longest_ = std::max(longest_, summary->seconds_per_epoch());
  }
  const auto count = static_cast<double>(row.accuracies.size());
  row.mean = std::accumulate(row.accuracies.begin(), row.accuracies.end(), 0.0) / count;
  double squares = 0;
  for (const double accuracy : row.accuracies) squares += (accuracy - row.mean) * (accuracy - row.mean);
  row.deviation = count > 1 ? std::sqrt(squares / (count - 1)) : std::numeric_limits<double>::quiet_NaN();
  const auto interval = evaluation::wilson_interval_of_rate(row.mean, faces);
  row.low = interval.low;
  row.high = interval.high;
  row.seconds = std::accumulate(seconds.begin(), seconds.end(), 0.0) / count;
  return Outcome::done;
}

/// How many epochs each rung trains, the last one all.
std::vector<int64_t> rungs_of(const Sweep& sweep, int64_t full) {
  if (sweep.strategy != SweepStrategy::halving) return {0};
  std::vector<int64_t> rungs;
  for (int64_t epochs = sweep.first_epochs; epochs < full; epochs *= sweep.eta) rungs.push_back(epochs);
  rungs.push_back(full);
  return rungs;
}

void write_outcome(const Sweep& sweep, SweepOutcome& outcome, ProgressListener& listener) {
  std::stable_sort(outcome.rows.begin(), outcome.rows.end(), [](const SweepRow& a, const SweepRow& b) {
    return a.epochs != b.epochs ? a.epochs > b.epochs : a.mean > b.mean;
  });
  Values names;
  for (const auto& [name, values] : sweep.values) names.push_back(name);
  std::string csv = join(names, ",") + ",epochs,seeds,accuracy,deviation,low,high,seconds\n";
  std::string text = fmt::format("{} rows, accuracy on {} rows\n", outcome.rows.size(), sweep.judge);
  ordered_json rows = ordered_json::array();
  std::vector<report::Bar> bars;
  for (const SweepRow& row : outcome.rows) {
    Values said;
    ordered_json values = ordered_json::object();
    for (size_t i = 0; i < names.size(); ++i) {
      said.push_back(names[i] + " " + row.values[i]);
      values[names[i]] = row.values[i];
    }
    csv += fmt::format("{},{},{},{},{},{},{},{}\n",
                       join(row.values, ","),
                       row.epochs,
                       row.accuracies.size(),
                       format_double(row.mean),
                       std::isfinite(row.deviation) ? format_double(row.deviation) : "",
                       format_double(row.low),
                       format_double(row.high),
                       format_double(row.seconds));
    text +=
        fmt::format("{:6.2f} %  ({:.2f} to {:.2f} %{})  {} epochs, {}  {}\n",
                    100 * row.mean,
                    100 * row.low,
                    100 * row.high,
                    std::isfinite(row.deviation) ? fmt::format("; seeds differ by {:.2f}", 100 * row.deviation) : "",
                    row.epochs,
                    format_duration(row.seconds),
                    join(said, ", "));
    rows.push_back({{"values", values},
                    {"epochs", row.epochs},
                    {"accuracies", row.accuracies},
                    {"accuracy", row.mean},
                    {"deviation", std::isfinite(row.deviation) ? ordered_json(row.deviation) : ordered_json()},
                    {"interval", {row.low, row.high}},
                    {"seconds", row.seconds},
                    {"folders", row.folders}});
    if (row.epochs == outcome.rows.front().epochs && bars.size() < 40)
      bars.push_back(
          {.name = join(said, ", "), .value = row.mean, .interval = evaluation::Interval{row.low, row.high}});
  }
  if (!outcome.is_complete) text += "the minutes are used up: not every combination was trained\n";
  outcome.json = ordered_json{{"folder", outcome.folder.string()},
                              {"judged_on", sweep.judge},
                              {"complete", outcome.is_complete},
                              {"rows", rows}}
                     .dump(2, ' ', false, ordered_json::error_handler_t::replace) +
                 "\n";
  outcome.text = text + fmt::format("table and plot: {}\n", (outcome.folder / "sweep.csv").string());
  write_atomic(outcome.folder / "sweep.csv", csv);
  write_atomic(outcome.folder / "sweep.json", outcome.json);
  if (bars.empty()) return;
  report::draw_or_warn(listener, [&] {
    report::plot_bars(
        outcome.folder / "sweep.png",
        bars,
        {.title = fmt::format(
             "{}: accuracy on {} rows, mean of {} seeds, 95 % interval", sweep.name, sweep.judge, sweep.seeds)});
  });
}

}  // namespace

Sweep load_sweep(const std::filesystem::path& file) {
  Sweep sweep{.name = file.stem().string(), .file = file.string()};
  const toml::table table = parse_toml(read_text(file, 1 << 20), sweep.file);
  if (const toml::node* const head = table.get("sweep")) read_head(table_of(*head, sweep.file, "sweep"), sweep);
  Trial trial;  // checks names and values
  for (const auto& [key, node] : table) {
    const std::string place = toml_place(sweep.file, node.source());
    if (key.str() == "sweep") continue;
    if (key.str() != "options" && key.str() != "values")
      throw_usage(fmt::format("{}: unknown table {}", place, quote_sample(key.str())),
                  "one of: sweep, options, values");
    const bool is_shared = key.str() == "options";
    for (const auto& [option, value] : table_of(node, sweep.file, key.str())) {
      const std::string where = toml_place(sweep.file, value.source());
      const std::string name(option.str());
      Values texts;
      if (is_shared) {
        texts.push_back(toml_value_text(value, where, name));
      } else if (const toml::array* const list = value.as_array(); list != nullptr && !list->empty()) {
        for (const toml::node& item : *list) texts.push_back(toml_value_text(item, where, name));
      } else {
        throw_usage(fmt::format("{}: {} is no list of values", where, name), name + " = [ ... ]");
      }
      for (const std::string& text : texts) trial.options.set(name, text, Origin::config_file, where);
      if (is_shared) {
        sweep.options.push_back({.name = name, .text = texts.front(), .origin = Origin::config_file, .detail = where});
      } else {
        sweep.values.emplace_back(trial.options.find(name)->spec.name, texts);
      }
    }
  }
  for (const auto& [name, values] : sweep.values) {
    for (const char* own : {"seed", "project", "name", "exist-ok", "members"}) {
      if (name == own) throw_usage(fmt::format("{}: {} cannot be swept", sweep.file, name), "[sweep] seeds = NUMBER");
    }
  }
  if (sweep.values.empty()) throw_usage(sweep.file + ": there is nothing to vary", "[values] with option = [ values ]");
  return sweep;
}

std::vector<Values> combinations(const Sweep& sweep) {
  int64_t count = 1;
  for (const auto& [name, values] : sweep.values) {
    count *= static_cast<int64_t>(values.size());
    if (count > kMostCombinations)
      throw_usage(fmt::format("{}: more than {} combinations", sweep.file, with_commas(kMostCombinations)));
  }
  const auto combination = [&](int64_t number) {
    Values chosen(sweep.values.size());
    for (size_t i = sweep.values.size(); i-- > 0;) {  // the last option changes fastest
      const auto& values = sweep.values[i].second;
      chosen[i] = values[static_cast<size_t>(number) % values.size()];
      number /= static_cast<int64_t>(values.size());
    }
    return chosen;
  };
  std::vector<int64_t> numbers(static_cast<size_t>(count));
  std::iota(numbers.begin(), numbers.end(), int64_t{0});
  if (sweep.strategy != SweepStrategy::grid && sweep.samples < count) {
    RandomStream stream(static_cast<uint64_t>(sweep.sweep_seed), "sweep");
    std::vector<double> keys(numbers.size());
    for (double& key : keys) key = stream.uniform();
    std::sort(numbers.begin(), numbers.end(), [&](int64_t a, int64_t b) {
      return keys[static_cast<size_t>(a)] < keys[static_cast<size_t>(b)];
    });
    numbers.resize(static_cast<size_t>(sweep.samples));
  }
  std::vector<Values> result;
  for (const int64_t number : numbers) result.push_back(combination(number));
  return result;
}

std::optional<SweepOutcome> run_sweep(const Sweep& sweep,
                                      const std::filesystem::path& project,
                                      ProgressListener& listener) {
  SweepOutcome outcome{.folder = project / sweep.name};
  SweepRun run(sweep, outcome.folder, listener);
  std::vector<Values> candidates = combinations(sweep);
  const std::vector<int64_t> rungs = rungs_of(sweep, run.full_epochs());
  for (size_t rung = 0; rung < rungs.size() && outcome.is_complete; ++rung) {
    std::vector<SweepRow> rows;
    for (const Values& values : candidates) {
      listener.line(fmt::format("combination {} of {}{}",
                                rows.size() + 1,
                                candidates.size(),
                                rungs.size() > 1 ? fmt::format(", {} epochs", rungs[rung]) : ""));
      SweepRow row;
      const auto result = run.train(values, rungs[rung], row);
      if (result == SweepRun::Outcome::stopped) return std::nullopt;
      outcome.is_complete = result == SweepRun::Outcome::done;
      if (!outcome.is_complete) break;
      rows.push_back(std::move(row));
    }
    std::stable_sort(rows.begin(), rows.end(), [](const SweepRow& a, const SweepRow& b) { return a.mean > b.mean; });
    const auto kept = (rows.size() + static_cast<size_t>(sweep.eta) - 1) / static_cast<size_t>(sweep.eta);
    candidates.clear();
    for (size_t i = 0; i < kept; ++i) candidates.push_back(rows[i].values);
    std::move(rows.begin(), rows.end(), std::back_inserter(outcome.rows));
  }
  write_outcome(sweep, outcome, listener);
  return outcome;
}

}  // namespace mien::recipes
