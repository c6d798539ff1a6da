// Trains a network of one's own on drawn faces and writes its weights: train FOLDER
#include <fmt/core.h>

#include "mien/data/load.h"
#include "mien/data/split.h"
#include "mien/network/network.h"
#include "mien/runtime/environment.h"
#include "mien/training/trainer.h"

namespace {

constexpr const char* kNetwork = R"(
name   = "mine"
input  = [1, 48, 48]
layers = [
  { conv = 8, kernel = 3, padding = "same" }, "relu", "batch_norm", { max_pool = 4 },
  { conv = 16, kernel = 3, padding = "same" }, "relu", "batch_norm", { max_pool = 4 },
  "flatten", { dense = 7 },
])";

struct Printer final : mien::ProgressListener {
  void line(std::string_view text) override { fmt::print("{}\n", text); }
  void warning(std::string_view text) override { fmt::print(stderr, "{}\n", text); }
  void progress(std::string_view, int64_t, int64_t, std::string_view) override {}
};

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 2) {
    fmt::print(stderr, "usage: train FOLDER\n");
    return 2;
  }
  mien::runtime::configure_threads(0);
  Printer printer;
  mien::data::DataOptions data;
  data.data = "drawn:700";
  const auto faces = mien::data::load(data, printer);
  const auto split = mien::data::make_split(faces, {.validation = "fraction:0.2"});
  mien::training::TrainingInput input{
      .dataset = &faces, .training_rows = split.training, .validation_rows = split.validation};
  input.options.loop.epochs = 3;
  input.folder = argv[1];
  mien::training::TrainingObserver nothing_more;
  const auto result = mien::training::train(
      mien::network::Network(mien::network::parse_graph(kNetwork, "train.cpp"), 0), input, printer, nothing_more);
  fmt::print("best epoch {}, validation accuracy {:.3f}\n",
             result.best_epoch,
             result.history[static_cast<size_t>(result.best_epoch - 1)].validation_accuracy);
} catch (const std::exception& error) {
  fmt::print(stderr, "train: {}\n", error.what());
  return 1;
}
