#include "support/small_experiment.h"

#include <cstdlib>

#include <unistd.h>

#include "mien/core/files.h"
#include "mien/runtime/environment.h"

namespace mien::test_support {
namespace {

std::filesystem::path root() {
  return std::filesystem::path(testing::TempDir()) / ("mien-app-" + std::to_string(::getpid()));
}

class RemoveFolders : public testing::Environment {
  void TearDown() override {
    if (!testing::UnitTest::GetInstance()->Failed()) std::filesystem::remove_all(root());
  }
};
const auto* const kRemoveFolders = testing::AddGlobalTestEnvironment(new RemoveFolders);

}  // namespace

SmallExperiment::SmallExperiment(const std::filesystem::path& folder,
                                 const std::vector<std::pair<std::string, std::string>>& more) {
  runtime::configure_threads(1);
  experiment.bind(options);
  std::vector<std::pair<std::string, std::string>> settings{{"network", (folder / "small.toml").string()},
                                                            {"project", (folder / "runs").string()},
                                                            {"data", "drawn:210"},
                                                            {"epochs", "2"},
                                                            {"threads", "1"}};
  settings.insert(settings.end(), more.begin(), more.end());
  for (const auto& [name, text] : settings) options.set(name, text, Origin::command_line, "--" + name + " " + text);
}

std::filesystem::path fresh_folder(const std::string& name) {
  const auto folder = root() / name;
  std::filesystem::remove_all(folder);
  write_atomic(folder / "small.toml",
               "name = \"small\"\ninput = [1, 48, 48]\nlayers = [\n  { conv = 8, kernel = 3, padding = \"same\", "
               "stride = 2 }, \"relu\", \"batch_norm\",\n"
               "  { max_pool = 2 }, { dropout = 0.2 }, \"flatten\", { dense = 7 },\n]\n");
  return folder;
}

nlohmann::json read_json(const std::filesystem::path& file) { return nlohmann::json::parse(read_text(file)); }

WithoutPictures::WithoutPictures() { ::setenv("MIEN_PICTURES", "off", 1); }
WithoutPictures::~WithoutPictures() { ::unsetenv("MIEN_PICTURES"); }

}  // namespace mien::test_support
