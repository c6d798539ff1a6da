#include "mien/recipes/run_recipe.h"

#include <algorithm>
#include <map>

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/network/graph/graph.h"
#include "mien/recipes/run_figures.h"
#include "mien/report/draw_or_warn.h"
#include "mien/runs/data_pictures.h"
#include "mien/runs/ensemble.h"
#include "mien/runs/list_runs.h"
#include "mien/runs/load_faces.h"
#include "mien/runs/run_folder.h"
#include "mien/runs/run_page.h"
#include "mien/runs/train_run.h"
#include "mien/runtime/environment.h"

namespace mien::recipes {
namespace {

using nlohmann::ordered_json;

/// The runs' faces, read once where runs share them.
class DataOfRuns {
 public:
  explicit DataOfRuns(ProgressListener& listener) : listener_(listener) {}
  const data::Dataset& of(const ResolvedRun& run) {
    const network::Graph graph = network::load_graph(run.experiment->run.network);
    std::string key = std::to_string(graph.input_shape().channels);
    for (const OptionSet::Entry& entry : run.options.entries()) {
      if (entry.group == "data") key += entry.text() + "\n";
    }
    const auto found = sets_.find(key);
    if (found != sets_.end()) return found->second;
    return sets_.emplace(key, runs::load_faces(run.experiment->data, graph, listener_)).first->second;
  }

 private:
  ProgressListener& listener_;
  std::map<std::string, data::Dataset> sets_;
};

/// `mien run` with weights: draws the figures of the first run that has the weights' network, into `wish.out` (only
/// them) or, if that is empty, with numbers and sidecars into runs/explain/RECIPE. Returns the folder.
std::filesystem::path draw_from_weights(const Recipe& recipe,
                                        const ResolvedRecipe& resolved,
                                        const RecipeOptions& wish,
                                        ProgressListener& listener) {
  const network::LoadedWeights weights =
      network::load_weights(runs::weights_file(resolved.shared.experiment->run.weights));
  const auto folder =
      wish.out.empty() ? std::filesystem::path("runs") / "explain" / recipe.name : std::filesystem::path(wish.out);
  std::vector<std::string> networks;
  for (const ResolvedRun& run : resolved.runs) {
    networks.push_back(network::load_graph(run.experiment->run.network).name);
    if (networks.back() != weights.network.graph().name || run.figures.empty()) continue;
    const data::Dataset dataset = runs::load_faces(run.experiment->data, weights, listener);
    const auto drawn = draw_figures(run, weights, dataset, folder, /*raw=*/wish.out.empty(), listener);
    listener.line(fmt::format("{} pictures in {}", drawn.size(), folder.string()));
    return folder;  // runs of one network differ in their training, which is over
  }
  throw_usage(fmt::format("--weights is of network {}, recipe {} explains {}",
                          weights.network.graph().name,
                          recipe.name,
                          join(networks, ", ")),
              "name weights of such a network, or leave --weights out to train first");
}

/// Throws where --out asks for pictures that the recipe does not have or that hours of training would have to make.
void check_out(const Recipe& recipe, const ResolvedRecipe& resolved, const RecipeOptions& wish) {
  if (wish.train && wish.out.empty()) throw_usage("--train goes with --out", "`mien run RECIPE` trains without it");
  if (wish.out.empty()) return;
  if (recipe.figures.empty()) {
    throw_usage(fmt::format("--out: recipe {} has no figures to write there", recipe.name),
                "--project and --name say where its run folder goes");
  }
  const bool has_weights = !resolved.shared.experiment->run.weights.empty();
  if (has_weights && wish.train)
    throw_usage("--train and --weights are given, expected one of both", "--weights starts from trained weights");
  if (has_weights || wish.train) return;
  int64_t epochs = 0;
  for (const ResolvedRun& run : resolved.runs) {
    epochs += run.experiment->train.loop.epochs * std::max<int64_t>(1, run.experiment->ensemble.members);
  }
  throw_usage(fmt::format("--out without --weights would first train {} epochs", epochs),
              "--weights W draws from trained weights; --train trains first");
}

/// What the recipe's page says besides its runs.
runs::RecipePage page_of(const Recipe& recipe, const std::filesystem::path& folder, const std::string& class_table) {
  return {.folder = folder,
          .title = recipe.title,
          .source = recipe.source,
          .description = recipe.description,
          .class_table = class_table};
}

/// Records in run.json what report_task reads again.
void record_page(runs::RunFolder& folder, const runs::RecipePage& page, const std::vector<std::string>& run_folders) {
  folder.record_text("title", page.title);
  folder.record_text("source", page.source);
  folder.record_text("description", page.description);
  folder.record_text("class_table", page.class_table);
  folder.record("runs", ordered_json(run_folders).dump());
}

/// What a recipe's folder says of its page, and the folders of its runs.
struct RecordedPage {
  runs::RecipePage page;
  std::vector<std::string> run_folders;
};

RecordedPage read_page(const std::filesystem::path& folder) {
  const auto fact = [&](const std::string& key) {
    auto json = nlohmann::json::parse(runs::run_fact(folder, key), nullptr, /*allow_exceptions=*/false);
    if (json.is_discarded())
      throw_bad_data(fmt::format("cannot read {}/run.json: it does not say {}", folder.string(), key),
                     "start the recipe again: it goes on where it stopped");
    return json;
  };
  RecordedPage recorded;
  const std::string class_table = fact("class_table").get<std::string>();
  if (runs::run_fact(folder, "runs").empty()) {  // a folder from before 0.2
    const Recipe recipe = load_recipe((folder / "recipe.toml").string());
    for (const RecipeRun& run : recipe.runs) {
      if (std::filesystem::exists(folder / run.name)) recorded.run_folders.push_back(run.name);
    }
    recorded.page = page_of(recipe, folder, class_table);
    return recorded;
  }
  recorded.run_folders = fact("runs").get<std::vector<std::string>>();
  recorded.page = {.folder = folder,
                   .title = fact("title").get<std::string>(),
                   .source = fact("source").get<std::string>(),
                   .description = fact("description").get<std::string>(),
                   .class_table = class_table};
  return recorded;
}

/// Writes report.html of a recipe's folder from what the folder holds. Returns its runs but for ensembles.
std::vector<runs::RunSummary> write_page(const std::filesystem::path& folder,
                                         ProgressListener& listener,
                                         runs::PageKind kind) {
  FolderContent content = read_folder(folder);
  runs::write_recipe_page(*content.page, content.runs, content.ensembles, listener, kind);
  return std::move(content.runs);
}

/// Trains, judges and explains one run into `folder`. Returns its folder's name; nothing if the user stopped it.
std::optional<std::string> carry_out(const ResolvedRun& run,
                                     const std::filesystem::path& folder,
                                     const data::Dataset& dataset,
                                     const RecipeOptions& wish,
                                     ProgressListener& listener) {
  const runs::Experiment& experiment = *run.experiment;
  runs::RunFolder run_folder = runs::RunFolder::choose(
      folder, run.name, experiment.run.exist_ok, true, run.options, runs::run_content(experiment, dataset));
  listener.line(fmt::format("run {} ({})", run.name, experiment.run.network));
  const std::string name = run_folder.path().filename().string();
  if (experiment.ensemble.members > 1) {
    if (!runs::train_ensemble(run_folder, experiment, run.options, dataset, listener)) return std::nullopt;
    return name;
  }
  const bool is_finished = run_folder.state() == runs::RunFolder::State::finished;
  const runs::PreparedData prepared = is_finished ? runs::PreparedData{} : runs::prepare(dataset, experiment, listener);
  if (!runs::train_in(run_folder, experiment, dataset, prepared, listener)) return std::nullopt;
  for (const runs::DrawnPicture& picture : explain_run(run, dataset, run_folder.path(), listener)) {
    if (wish.out.empty()) continue;
    const auto target = wish.out / std::filesystem::relative(picture.path, run_folder.path() / "explain");
    write_atomic(target, read_text(picture.path));
  }
  return name;
}

}  // namespace

std::optional<std::filesystem::path> run_recipe(const Recipe& recipe,
                                                std::span<const Override> overrides,
                                                const RecipeOptions& wish,
                                                ProgressListener& listener) {
  const ResolvedRecipe resolved = resolve(recipe, overrides, wish, listener);
  const runs::Experiment& shared = *resolved.shared.experiment;
  check_out(recipe, resolved, wish);
  runtime::configure_threads(static_cast<int>(shared.run.threads));
  if (!recipe.figures.empty() && !shared.run.weights.empty())
    return draw_from_weights(recipe, resolved, wish, listener);

  DataOfRuns data(listener);
  for (const ResolvedRun& run : resolved.runs) runs::check_request(*run.experiment, data.of(run));
  const data::Dataset& dataset = data.of(resolved.shared);
  const bool has_project = resolved.shared.options.find("project")->origin != Origin::default_value;
  runs::RunFolder folder = runs::RunFolder::choose(has_project ? shared.run.project : "runs",
                                                   shared.run.name,
                                                   shared.run.exist_ok,
                                                   true,
                                                   resolved.shared.options,
                                                   runs::run_content(shared, dataset));
  if (folder.state() == runs::RunFolder::State::unfinished)
    listener.line(fmt::format("going on in {}", folder.path().string()));
  const runs::RecipePage page = page_of(recipe, folder.path(), data::class_table(dataset));
  write_atomic(folder.path() / "recipe.toml", recipe.toml);
  report::draw_or_warn(listener, [&] { runs::write_data_pictures(dataset, folder.path()); });
  std::vector<std::string> run_folders;
  for (const ResolvedRun& run : resolved.runs) {
    const auto name = carry_out(run, folder.path(), data.of(run), wish, listener);
    if (!name) {
      folder.save("interrupted");
      return std::nullopt;
    }
    run_folders.push_back(*name);
  }
  record_page(folder, page, run_folders);
  folder.save("finished");
  const std::vector<runs::RunSummary> summaries = write_page(folder.path(), listener, runs::PageKind::interactive);
  if (summaries.size() > 1) listener.line(runs::comparison_text(summaries));
  listener.line(fmt::format("report: {}", (folder.path() / "report.html").string()));
  return folder.path();
}

FolderContent read_folder(const std::filesystem::path& folder) {
  FolderContent content;
  const auto add = [&content](const std::filesystem::path& run) {
    if (std::filesystem::exists(run / "votes.json")) {
      content.ensembles.push_back(runs::read_ensemble(run));
    } else {
      content.runs.push_back(runs::read_run(run));
    }
  };
  if (std::filesystem::exists(folder / "audit.json")) {  // of a finished audit: the networks of its folds
    content.page = runs::RecipePage{.folder = folder,
                                    .title = std::filesystem::weakly_canonical(folder).filename().string(),
                                    .source = "audit of labels",
                                    .description = {},
                                    .class_table = {}};
    for (const runs::ListedRun& fold : runs::list_runs(folder)) add(fold.folder);
    return content;
  }
  if (!std::filesystem::exists(folder / "recipe.toml")) {
    add(folder);
    return content;
  }
  const RecordedPage recorded = read_page(folder);
  content.page = recorded.page;
  for (const std::string& name : recorded.run_folders) add(folder / name);
  return content;
}

std::string folder_document(const FolderContent& content, runs::PictureShelf& pictures) {
  if (content.page) return runs::recipe_document(*content.page, content.runs, content.ensembles, pictures);
  if (!content.ensembles.empty()) return runs::ensemble_document(content.ensembles.front(), pictures);
  return runs::run_document(content.runs.front(), pictures);
}

std::filesystem::path report_task(const std::filesystem::path& folder,
                                  ProgressListener& listener,
                                  runs::PageKind kind) {
  const FolderContent content = read_folder(folder);
  if (content.page) {
    runs::write_recipe_page(*content.page, content.runs, content.ensembles, listener, kind);
  } else if (!content.ensembles.empty()) {
    runs::write_ensemble_page(content.ensembles.front(), listener, kind);
  } else {
    runs::write_run_page(content.runs.front(), listener, kind);
  }
  return folder / "report.html";
}

}  // namespace mien::recipes
