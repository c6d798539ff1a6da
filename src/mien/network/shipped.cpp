#include "mien/network/shipped.h"

#include <algorithm>

namespace mien::network {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> folders() {
  std::error_code ignored;
  std::vector<fs::path> result;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored);
  if (!program.empty()) result.push_back(program.parent_path().parent_path() / "share" / "mien" / "models");
  result.emplace_back(MIEN_MODELS_FOLDER);
  return result;
}

}  // namespace

std::vector<ShippedModel> shipped_models() {
  std::vector<ShippedModel> models;
  for (const fs::path& folder : folders()) {
    std::error_code error;
    for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
      const fs::path& file = at->path();
      if (file.extension() != ".safetensors") continue;
      models.push_back(
          {.name = file.stem().string(), .weights = file, .card = fs::path(file).replace_extension(".md")});
    }
    if (!models.empty()) break;
  }
  std::sort(models.begin(), models.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return models;
}

std::optional<ShippedModel> find_shipped(const std::string& name) {
  for (ShippedModel& model : shipped_models()) {
    if (model.name == name) return std::move(model);
  }
  return std::nullopt;
}

fs::path with_shipped(const fs::path& path) {
  std::error_code ignored;
  if (fs::exists(path, ignored) || path.has_parent_path()) return path;
  const auto shipped = find_shipped(path.string());
  return shipped ? shipped->weights : path;
}

}  // namespace mien::network
