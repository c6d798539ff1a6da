#include "mien/export/folders.h"

#include <filesystem>
#include <optional>
#include <span>
#include <stdexcept>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/embedded.h"
#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/export/onnx.h"
#include "mien/version.h"

namespace mien {
std::span<const EmbeddedFile> export_files();  // written by mien_embed
}

namespace mien::exporting {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLibrary = "libmien_infer.so.0";
constexpr const char* kWebRuntime = "share/mien/web-runtime";
constexpr uint64_t kMostBytes = uint64_t{1} << 28;

std::string embedded(std::string_view name) {
  for (const EmbeddedFile& file : export_files()) {
    if (file.name == name) return std::string(file.text);
  }
  throw std::logic_error(fmt::format("{} is not embedded", name));
}

/// The first of `names` below one of the folders above this program, where an installation and a build have them.
std::optional<fs::path> beside_program(const std::vector<fs::path>& names) {
  std::error_code error;
  fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  for (int level = 0; level < 3; ++level, folder = folder.parent_path()) {
    for (const fs::path& name : names) {
      if (fs::exists(folder / name, error)) return folder / name;
    }
  }
  return std::nullopt;
}

}  // namespace

Files c_folder(std::string weights) {
  const auto library = beside_program({fs::path("lib") / kMultiarch / kLibrary, fs::path("lib") / kLibrary});
  if (!library) {
    throw_failed(fmt::format("cannot export to c: {} is not beside this program", kLibrary),
                 "an installation puts it into PREFIX/lib; in a build, `ninja mien_infer` makes it");
  }
  return {{"weights.safetensors", std::move(weights)},
          {kLibrary, read_text(*library, kMostBytes)},
          {"mien_infer.h", embedded("mien_infer")},
          {"example.c", embedded("example_c")},
          {"example.py", embedded("example_py")}};
}

Files web_folder(const FrozenNetwork& network) {
  const auto runtime = beside_program({kWebRuntime});
  if (!runtime) {
    throw_failed(fmt::format("cannot export to web: no {} beside this program", kWebRuntime),
                 "script/web-runtime fetches it from npm, once");
  }
  const network::Shape shape = network.graph.input_shape();
  const nlohmann::json facts{{"network", network.graph.name},
                             {"classes", network.class_names},
                             {"channels", shape.channels},
                             {"height", shape.height},
                             {"width", shape.width}};
  Files files{{"index.html", embedded("page_html")},
              {"app.js", embedded("page_js")},
              {"model.onnx", onnx_model(network, {})},
              {"model.json", facts.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n"}};
  for (const char* name : {"ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"}) {
    files.emplace_back(name, read_text(*runtime / name, kMostBytes));
  }
  return files;
}

}  // namespace mien::exporting
