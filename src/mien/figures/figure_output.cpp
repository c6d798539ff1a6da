#include "mien/figures/figure_output.h"

#include <cmath>

#include <ATen/ATen.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/npy.h"
#include "mien/runtime/environment.h"

namespace mien::figures {
namespace {

using nlohmann::ordered_json;

std::string dump(const ordered_json& json, int indent = -1) {
  return json.dump(indent, ' ', false, ordered_json::error_handler_t::replace);
}

/// Leaves out the words that `caption` ("none", "short") does not want.
void cut_words(report::Sheet& sheet, const std::string& caption) {
  if (caption == "full") return;
  sheet.subtitle.clear();
  sheet.notes.clear();
  for (report::PanelGrid& grid : sheet.grids) {
    for (report::Panel& panel : grid.panels) {
      panel.caption = caption == "none" ? "" : panel.caption.substr(0, panel.caption.find('\n'));
    }
    if (caption != "none") continue;
    grid.heading.clear();
    grid.column_headings.clear();
  }
  if (caption != "none") return;
  sheet.title.clear();
  sheet.bar.reset();
}

}  // namespace

FigureOutput::FigureOutput(const Figure& figure, const ExplainContext& context, std::filesystem::path folder, bool raw)
    : figure_(figure), context_(context), folder_(std::move(folder)), raw_(raw) {}

bool FigureOutput::has(const std::string& token) const {
  return picture_of(figure_).file.find("{" + token + "}") != std::string::npos;
}

std::filesystem::path FigureOutput::path(const std::map<std::string, std::string>& tokens) const {
  std::string name = picture_of(figure_).file;
  for (const auto& [token, text] : tokens) {
    const std::string braced = "{" + token + "}";
    for (size_t at = name.find(braced); at != std::string::npos; at = name.find(braced, at + text.size()))
      name.replace(at, braced.size(), text);
  }
  return folder_ / name;
}

void FigureOutput::picture(const std::filesystem::path& path, report::Sheet sheet, const std::string& caption) {
  if (context_.listener().stop_requested()) throw Error(ErrorCode::interrupted, "stopped while drawing explanations");
  if (raw_ && !report::can_draw()) return;
  const PictureOptions& wish = picture_of(figure_);
  cut_words(sheet, wish.caption);
  report::write_sheet(path, sheet);
  for (const std::string& format : wish.formats) {
    auto other = path;
    other.replace_extension(format);
    if (other != path) report::write_sheet(other, sheet);
  }
  drawn_.push_back({path, caption});
}

void FigureOutput::numbers(const std::filesystem::path& picture,
                           const at::Tensor& values,
                           const std::string& suffix) const {
  if (!raw_) return;
  write_npy(picture.parent_path() / (picture.stem().string() + suffix + ".npy"), floats(values), values.sizes().vec());
}

void FigureOutput::sidecar(const std::filesystem::path& picture, const Facts& facts, const std::string& suffix) const {
  if (!raw_) return;
  ordered_json json{{"kind", std::string(kind_of(figure_))}};
  for (const auto& [name, text] : facts) json[name] = ordered_json::parse(text);
  json["network"] = context_.graph().name;
  json["weights_hash"] = context_.weights_hash();
  json["normalization"] = context_.normalization().text();
  json["data"] = {{"source", context_.dataset().source}, {"checksum", context_.dataset().checksum}};
  OptionSet options;
  Figure copy = figure_;
  bind(copy, options);
  for (const OptionSet::Entry& entry : options.entries()) {
    std::visit([&](const auto* value) { json["options"][entry.spec.name] = *value; }, entry.field);
  }
  json["mien_version"] = runtime::environment().mien_version;
  write_atomic(picture.parent_path() / (picture.stem().string() + suffix + ".json"), dump(json, 2) + "\n");
}

void FigureOutput::text(const std::filesystem::path& picture,
                        const std::string& ending,
                        const std::string& text) const {
  if (raw_) write_atomic(picture.parent_path() / (picture.stem().string() + ending), text);
}

std::vector<float> floats(const at::Tensor& values) {
  const at::Tensor flat = values.detach().to(at::kCPU).to(at::kFloat).contiguous();
  const float* const first = flat.data_ptr<float>();
  return {first, first + flat.numel()};
}

std::string json_text(const std::string& text) { return dump(text); }
std::string json_number(double value) { return std::isfinite(value) ? dump(value) : "null"; }
std::string json_list(const std::vector<int64_t>& values) { return dump(values); }

}  // namespace mien::figures
