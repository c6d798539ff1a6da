#include "mien/cli/export_command.h"

#include <nlohmann/json.hpp>

#include "mien/export/export_run.h"

namespace mien::cli {
namespace {

using nlohmann::ordered_json;

class ExportCommand final : public ComputingCommand<ExportCommand> {
 public:
  std::vector<Positional> positionals() override {
    return {{"weights", "weights file or run folder", &options_.weights}};
  }
  void bind(OptionSet& options) override { options_.bind(options); }

  int compute(const Call& call) {
    const auto files = exporting::export_run(options_, call.terminal);
    if (!call.terminal.machine_readable()) return 0;
    ordered_json json{{"format", options_.to}, {"files", ordered_json::array()}};
    for (const auto& file : files) json["files"].push_back({{"file", file.path.string()}, {"bytes", file.bytes}});
    call.terminal.result("", json.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n");
    return 0;
  }

 private:
  exporting::ExportOptions options_;
};

}  // namespace

std::vector<CommandSpec> export_commands() {
  return {{"export", "Networks", "weights for other programs: ONNX, PyTorch, C, a web page", [] {
             return std::make_unique<ExportCommand>();
           }}};
}

}  // namespace mien::cli
