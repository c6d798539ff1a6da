#include "mien/serve/studio.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/explain/methods.h"
#include "mien/recipes/run_recipe.h"
#include "mien/runs/run_folder.h"
#include "mien/serve/label_desk.h"

namespace mien::serve {
namespace {

using nlohmann::ordered_json;
namespace fs = std::filesystem;

/// Pictures that stay in their folders; the document holds addresses.
class LinkedPictures final : public runs::PictureShelf {
 public:
  explicit LinkedPictures(size_t document) : document_(document) {}
  std::string add(const fs::path& file) override {
    const auto [at, is_new] = names_.try_emplace(file, fmt::format("p{}", names_.size()));
    if (is_new) files_[at->second] = file;
    return at->second;
  }
  std::string json() const override {
    ordered_json json = ordered_json::object();
    for (const auto& [name, file] : files_)
      json[name] = fmt::format("/api/v1/documents/{}/pictures/{}", document_, name);
    return json.dump();
  }
  const std::map<std::string, fs::path>& files() const { return files_; }

 private:
  size_t document_;
  std::map<fs::path, std::string> names_;
  std::map<std::string, fs::path> files_;
};

}  // namespace

Studio::Studio(const std::vector<std::string>& folders, size_t queue_limit)
    : models_(std::make_unique<ModelThread>(queue_limit)) {
  for (const std::string& folder : folders) {
    std::error_code ignored;
    if (!fs::is_directory(folder, ignored)) throw_bad_data(fmt::format("{} is no run folder: there is none", folder));
    if (run_state(folder) == "finished") {
      add_finished(folder);
      continue;
    }
    if (!add_runs_below(folder)) recipes::read_folder(folder);  // which says what is wrong with it
    roots_.emplace_back(folder);
  }
}

void Studio::add_finished(const fs::path& folder) {
  size_t index = 0;
  {
    const std::lock_guard lock(mutex_);
    index = documents_.size();
  }
  const recipes::FolderContent content = recipes::read_folder(folder);
  LinkedPictures pictures(index);
  auto document = std::make_shared<Document>();
  document->json = recipes::folder_document(content, pictures);
  document->pictures = pictures.files();
  const auto json = nlohmann::json::parse(document->json);
  document->title = json.at("title").get<std::string>();
  document->kind = json.at("kind").get<std::string>();
  if (fs::exists(folder / "audit.json")) document->audit = folder;
  std::vector<ServedRun> found;
  for (size_t r = 0; r < content.runs.size(); ++r) {
    const runs::RunSummary& run = content.runs[r];
    found.push_back({.name = run.name, .folder = run.folder, .document = index, .position = r});
    found.back().model = models_->add(runs::weights_file(run.folder));
    found.back().facts = run_facts(run);
  }
  for (size_t e = 0; e < content.ensembles.size(); ++e) {
    const runs::EnsembleSummary& ensemble = content.ensembles[e];
    found.push_back({.name = ensemble.folder.filename().string(),
                     .folder = ensemble.folder,
                     .document = index,
                     .position = e,
                     .facts = run_facts(ensemble)});
  }
  const std::lock_guard lock(mutex_);
  documents_.push_back(std::move(document));
  for (ServedRun& run : found) {
    const auto known = std::find_if(
        runs_.begin(), runs_.end(), [&](const ServedRun& one) { return !one.document && one.folder == run.folder; });
    const auto place = static_cast<size_t>(known - runs_.begin());
    if (run.model) model_runs_.push_back(place);
    if (known == runs_.end()) {
      runs_.push_back(std::move(run));
    } else {
      *known = std::move(run);
    }
  }
}

bool Studio::add_runs_below(const fs::path& folder) {
  bool has_runs = false;
  for (const runs::ListedRun& run : runs::list_runs(folder)) {
    has_runs = true;
    {
      const std::lock_guard lock(mutex_);
      const auto known =
          std::find_if(runs_.begin(), runs_.end(), [&](const ServedRun& one) { return one.folder == run.folder; });
      if (known != runs_.end() && known->document) continue;
      if (known == runs_.end()) runs_.push_back({.name = run.folder.filename().string(), .folder = run.folder});
    }
    if (run.state != "finished") continue;
    try {
      add_finished(run.folder);
    } catch (const Error& error) {  // damaged, or without predictions: the list says so
      const std::lock_guard lock(mutex_);
      for (ServedRun& one : runs_)
        if (one.folder == run.folder) one.problem = error.line();
    }
  }
  return has_runs;
}

void Studio::look_again() {
  constexpr auto kRest = std::chrono::milliseconds(500);
  const std::unique_lock lock(growing_, std::try_to_lock);
  if (!lock.owns_lock() || std::chrono::steady_clock::now() - looked_ < kRest) return;
  for (const fs::path& root : roots_) add_runs_below(root);
  looked_ = std::chrono::steady_clock::now();
}

std::string Studio::runs_json() {
  look_again();
  std::vector<ServedRun> all;
  {
    const std::lock_guard lock(mutex_);
    all = runs_;
  }
  ordered_json list = ordered_json::array();
  for (size_t r = 0; r < all.size(); ++r) {
    const ServedRun& run = all[r];
    ordered_json json{{"index", r}, {"name", run.name}, {"folder", run.folder.string()}, {"state", "finished"}};
    if (run.document) {
      json["document"] = *run.document;
      json["position"] = *run.position;
      if (run.model) json["model"] = *run.model;
      json.update(ordered_json::parse(run.facts));
    } else if (const auto listed = runs::list_runs(run.folder); !listed.empty()) {
      const std::string& state = listed.front().state;
      json["state"] = !run.problem.empty() ? "unreadable" : state == "finished" ? "running" : state;
      if (!run.problem.empty()) json["problem"] = run.problem;
      json.update(ordered_json::parse(unfinished_facts(listed.front())));
    }
    list.push_back(std::move(json));
  }
  return list.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

std::string Studio::difference(size_t first, size_t second) {
  std::vector<ServedRun> pair;
  {
    const std::lock_guard lock(mutex_);
    for (const size_t index : {first, second}) {
      if (index >= runs_.size()) throw RequestError{404, fmt::format("there is no run {}", index)};
      if (!runs_[index].document) throw RequestError{409, runs_[index].name + " has not finished"};
      pair.push_back(runs_[index]);
    }
    if (const auto known = differences_.find({first, second}); known != differences_.end()) return known->second;
  }
  try {
    std::string json = difference_json(pair[0], pair[1]);
    const std::lock_guard lock(mutex_);
    return differences_[{first, second}] = std::move(json);
  } catch (const Error& error) {
    throw RequestError{409, error.line()};
  }
}

std::shared_ptr<const Studio::Document> Studio::document_at(size_t index) const {
  const std::lock_guard lock(mutex_);
  if (index >= documents_.size()) throw RequestError{404, fmt::format("there is no document {}", index)};
  return documents_[index];
}

size_t Studio::model_count() const {
  const std::lock_guard lock(mutex_);
  return model_runs_.size();
}

fs::path Studio::model_folder(size_t model) const {
  const std::lock_guard lock(mutex_);
  if (model >= model_runs_.size()) throw RequestError{404, fmt::format("there is no model {}", model)};
  return runs_[model_runs_[model]].folder;
}

std::string Studio::documents_json() const {
  const std::lock_guard lock(mutex_);
  ordered_json list = ordered_json::array();
  for (size_t i = 0; i < documents_.size(); ++i)
    list.push_back({{"index", i}, {"title", documents_[i]->title}, {"kind", documents_[i]->kind}});
  return list.dump();
}

std::string Studio::models_json() const {
  const std::lock_guard lock(mutex_);
  ordered_json list = ordered_json::array();
  for (size_t m = 0; m < model_runs_.size(); ++m) {
    const ModelInput& input = models_->input(m);
    const ServedRun& run = runs_[model_runs_[m]];
    list.push_back({{"index", m},
                    {"name", run.name},
                    {"document", *run.document},
                    {"run", *run.position},
                    {"classes", input.class_names},
                    {"channels", input.channels},
                    {"height", input.height},
                    {"width", input.width},
                    {"layers", models_->layers(m)},
                    {"methods", models_->methods(m)}});
  }
  return list.dump();
}

std::string Studio::methods_json() {
  ordered_json list = ordered_json::array();
  for (const explain::MethodSpec& spec : explain::methods()) {
    list.push_back({{"name", spec.name},
                    {"family", to_text(spec.family)},
                    {"summary", spec.summary},
                    {"cost", spec.cost},
                    {"source", spec.source},
                    {"signed", spec.is_signed},
                    {"reads_layer", spec.reads_layer}});
  }
  return list.dump();
}

std::string Studio::document(size_t index) const { return document_at(index)->json; }

std::pair<std::string, std::string> Studio::picture(size_t document, const std::string& name) const {
  const auto shown = document_at(document);
  const auto& pictures = shown->pictures;
  const auto found = pictures.find(name);
  if (found == pictures.end()) throw RequestError{404, fmt::format("there is no picture {}", quote_sample(name))};
  const std::string ending = lower(found->second.extension().string());
  const std::string type = ending == ".webp"                       ? "image/webp"
                           : ending == ".svg"                      ? "image/svg+xml"
                           : ending == ".jpg" || ending == ".jpeg" ? "image/jpeg"
                                                                   : "image/png";
  return {read_text(found->second, uint64_t{1} << 28), type};
}

}  // namespace mien::serve
