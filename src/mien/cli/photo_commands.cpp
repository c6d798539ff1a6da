#include "mien/cli/photo_commands.h"

#include "mien/core/text.h"
#include "mien/photo/crop_run.h"
#include "mien/photo/photo_run.h"
#include "mien/photo/watch_run.h"

namespace mien::cli {
namespace {

constexpr const char* kWeightsHelp =
    "weights file, run folder or an ensemble's folder; several, separated by commas, vote";

class PhotoCommand final : public ComputingCommand<PhotoCommand> {
 public:
  void bind(OptionSet& options) override { task_.bind(options); }
  std::vector<Positional> positionals() override {
    return {{"weights", kWeightsHelp, &weights_},
            {.name = "picture", .help = "photographs, and folders of photographs", .targets = &task_.pictures}};
  }
  int compute(const Call& call) {
    task_.reader.weights = split(weights_, ',');
    const photo::PhotoSummary summary = photo::photo_run(task_, call.terminal);
    call.terminal.result(summary.text(), summary.json());
    return 0;
  }

 private:
  std::string weights_;
  photo::PhotoOptions task_;
};

class WatchCommand final : public ComputingCommand<WatchCommand> {
 public:
  void bind(OptionSet& options) override { task_.bind(options); }
  std::vector<Positional> positionals() override {
    return {{"weights", kWeightsHelp, &weights_},
            {.name = "video", .help = "a video file; none with --camera", .target = &task_.file, .is_optional = true}};
  }
  int compute(const Call& call) {
    task_.reader.weights = split(weights_, ',');
    const photo::WatchSummary summary = photo::watch_run(task_, call.terminal);
    call.terminal.result(summary.text(), summary.json());
    return 0;
  }

 private:
  std::string weights_;
  photo::WatchOptions task_;
};

class CropCommand final : public ComputingCommand<CropCommand> {
 public:
  void bind(OptionSet& options) override { task_.bind(options); }
  std::vector<Positional> positionals() override {
    return {{"photographs", "a folder of photographs, with or without class folders, or one photograph", &task_.source},
            {"out", "folder to write faces/, crops.csv and left-out.csv into", &task_.out}};
  }
  int compute(const Call& call) {
    const photo::CropSummary summary = photo::crop_run(task_, call.terminal);
    call.terminal.result(summary.text(), summary.json());
    return 0;
  }

 private:
  photo::CropRunOptions task_;
};

}  // namespace

std::vector<CommandSpec> photo_commands() {
  return {{"photo",
           "Photographs",
           "find the faces of photographs and say what they express",
           [] { return std::make_unique<PhotoCommand>(); }},
          {"watch", "Photographs", "the same of a video file or a camera, over time", [] {
             return std::make_unique<WatchCommand>();
           }}};
}

CommandSpec crop_command() {
  return {"data crop", "Data", "crop the faces of photographs to a data set", [] {
            return std::make_unique<CropCommand>();
          }};
}

}  // namespace mien::cli
