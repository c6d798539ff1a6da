#include "support/small_experiment.h"

#include <cstdlib>

#include <unistd.h>

#include "mien/core/files.h"
#include "mien/report/canvas.h"
#include "mien/runs/train_run.h"
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

const std::filesystem::path& small_leaky_run() {
  static const std::filesystem::path run = [] {
    const WithoutPictures quick;
    const std::filesystem::path folder = fresh_folder("trained");
    write_atomic(folder / "leaky.toml", R"(name = "leaky4"
input = [1, 48, 48]
layers = [
  { conv = 32, kernel = 5, padding = "same", stride = 2 }, { leaky_relu = 0.05 }, "batch_norm", { max_pool = 2 },
  { conv = 48, kernel = 3, padding = "same" }, { leaky_relu = 0.05 }, "batch_norm", { max_pool = 2 },
  { conv = 32, kernel = 3, padding = "same" }, { leaky_relu = 0.05 }, "batch_norm",
  { conv = 32, kernel = 3, padding = "same" }, { leaky_relu = 0.05 }, "batch_norm",
  "flatten", { dense = 7 },
]
)");
    SmallExperiment small(folder,
                          {{"network", (folder / "leaky.toml").string()},
                           {"data", "drawn:350"},
                           {"epochs", "3"},
                           {"batch-size", "25"},
                           {"lr", "0.003"}});
    return *runs::train_task(small.experiment, small.options, silent_listener());
  }();
  return run;
}

WithoutPictures::WithoutPictures() : were_off_(!report::can_draw()) { ::setenv("MIEN_PICTURES", "off", 1); }
WithoutPictures::~WithoutPictures() {
  if (!were_off_) ::unsetenv("MIEN_PICTURES");
}

}  // namespace mien::test_support
