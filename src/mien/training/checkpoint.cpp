#include "mien/training/checkpoint.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/hash.h"
#include "mien/core/safetensors.h"

namespace mien::training {
namespace {

using nlohmann::json;

/// JSON has no infinity or NaN; hexadecimal text keeps every double to the bit.
std::string exact(double value) { return fmt::format("{:a}", value); }
double exact(const json& value) { return std::strtod(value.get_ref<const std::string&>().c_str(), nullptr); }

json to_json(const TrainingState& state) {
  json history = json::array();
  for (const EpochRow& row : state.history) {
    history.push_back({row.epoch,
                       exact(row.train_loss),
                       exact(row.train_accuracy),
                       exact(row.validation_loss),
                       exact(row.validation_accuracy),
                       exact(row.learning_rate),
                       exact(row.seconds)});
  }
  return {{"fingerprint", state.fingerprint},
          {"epochs_done", state.epochs_done},
          {"optimizer_steps", state.optimizer_steps},
          {"best_epoch", state.best_epoch},
          {"best_accuracy", exact(state.best_accuracy)},
          {"best_loss", exact(state.best_loss)},
          {"first_epoch_loss", exact(state.first_epoch_loss)},
          {"seconds", exact(state.seconds)},
          {"schedule_factor", exact(state.schedule.factor)},
          {"schedule_best_loss", exact(state.schedule.best_loss)},
          {"schedule_epochs_without_gain", state.schedule.epochs_without_gain},
          {"numerics", state.numerics},
          {"is_over", state.is_over},
          {"history", history}};
}

TrainingState from_json(const json& value) {
  TrainingState state;
  state.fingerprint = value.at("fingerprint").get<std::string>();
  state.epochs_done = value.at("epochs_done").get<int64_t>();
  state.optimizer_steps = value.at("optimizer_steps").get<int64_t>();
  state.best_epoch = value.at("best_epoch").get<int64_t>();
  state.best_accuracy = exact(value.at("best_accuracy"));
  state.best_loss = exact(value.at("best_loss"));
  state.first_epoch_loss = exact(value.at("first_epoch_loss"));
  state.seconds = exact(value.at("seconds"));
  state.schedule.factor = exact(value.at("schedule_factor"));
  state.schedule.best_loss = exact(value.at("schedule_best_loss"));
  state.schedule.epochs_without_gain = value.at("schedule_epochs_without_gain").get<int64_t>();
  if (value.contains("numerics")) state.numerics = value["numerics"].get<std::map<std::string, std::string>>();
  state.is_over = value.value("is_over", false);
  for (const json& row : value.at("history")) {
    state.history.push_back({.epoch = row.at(0).get<int64_t>(),
                             .train_loss = exact(row.at(1)),
                             .train_accuracy = exact(row.at(2)),
                             .validation_loss = exact(row.at(3)),
                             .validation_accuracy = exact(row.at(4)),
                             .learning_rate = exact(row.at(5)),
                             .seconds = exact(row.at(6))});
  }
  return state;
}

constexpr const char* kStateKey = "mien.checkpoint";
constexpr const char* kChecksumKey = "mien.checksum";
constexpr const char* kHint = "remove the checkpoint folder to start again from the first epoch";

/// Of the bytes of all arrays, in the order of their names.
std::string checksum_of(std::vector<NamedArray> arrays) {
  std::sort(arrays.begin(), arrays.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  std::string text;
  for (const NamedArray& array : arrays) {
    const std::string_view bytes(reinterpret_cast<const char*>(array.bytes.data()), array.bytes.size());
    text += fmt::format("{}={:x}\n", array.name, hash64(bytes));
  }
  return checksum(text);
}

TrainingState stored_state(const SafetensorsFile& stored) {
  const auto text = stored.metadata().find(kStateKey);
  if (text == stored.metadata().end())
    throw_bad_data(fmt::format("cannot resume from {}: it is not a checkpoint of mien", stored.origin()), kHint);
  try {
    return from_json(json::parse(text->second));
  } catch (const json::exception&) {
    throw_bad_data(fmt::format("cannot resume from {}: its state is damaged", stored.origin()), kHint);
  }
}

}  // namespace

std::string to_text(const TrainingState& state) { return to_json(state).dump(); }
TrainingState state_from_text(const std::string& text) { return from_json(json::parse(text)); }

void save_checkpoint(const std::filesystem::path& file, const TrainingState& state, const NamedTensors& tensors) {
  std::vector<at::Tensor> kept;  // owns the row-major copies while they are written
  std::vector<NamedArray> arrays;
  for (const auto& [name, tensor] : tensors) {
    kept.push_back(tensor.detach().to(at::kCPU).contiguous());
    const at::Tensor& values = kept.back();
    arrays.push_back(
        {.name = name,
         .dtype = "F32",
         .shape = values.sizes().vec(),
         .bytes = std::as_bytes(std::span(values.data_ptr<float>(), static_cast<size_t>(values.numel())))});
  }
  write_safetensors(file, arrays, {{kStateKey, to_json(state).dump()}, {kChecksumKey, checksum_of(arrays)}});
}

void drop_tensors(const std::filesystem::path& file) {
  if (!std::filesystem::exists(file)) return;
  TrainingState state = stored_state(SafetensorsFile::open(file));
  state.is_over = true;
  save_checkpoint(file, state, {});
}

std::optional<TrainingState> load_checkpoint(const std::filesystem::path& file,
                                             const std::string& fingerprint,
                                             const NamedTensors& tensors) {
  if (!std::filesystem::exists(file)) return std::nullopt;
  const SafetensorsFile stored = SafetensorsFile::open(file);
  const TrainingState state = stored_state(stored);
  if (state.fingerprint != fingerprint) {
    throw_usage(fmt::format("cannot resume from {}: it was made with other options or data", file.string()),
                "choose another --name, or remove the folder");
  }
  if (state.is_over) return state;
  if (stored.arrays().size() != tensors.size()) {
    throw_bad_data(fmt::format("cannot resume from {}: it holds {} tensors, expected {}",
                               file.string(),
                               stored.arrays().size(),
                               tensors.size()),
                   kHint);
  }
  for (const auto& [name, tensor] : tensors) {
    const NamedArray* array = stored.find(name);
    if (array == nullptr || at::IntArrayRef(array->shape) != tensor.sizes()) {
      throw_bad_data(
          fmt::format("cannot resume from {}: tensor {} is missing or has another shape", file.string(), name), kHint);
    }
  }
  const auto wanted = stored.metadata().find(kChecksumKey);  // checkpoints of version 0.1 have none
  if (wanted != stored.metadata().end() && wanted->second != checksum_of(stored.arrays())) {
    throw_bad_data(
        fmt::format("cannot resume from {}: its tensors are damaged (their checksum is another)", file.string()),
        kHint);
  }
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : tensors) {
    const auto values = stored.floats(name);
    at::Tensor copy = at::empty(tensor.sizes(), at::kFloat);
    std::memcpy(copy.data_ptr<float>(), values.data(), values.size_bytes());
    tensor.detach().copy_(copy);
  }
  return state;
}

}  // namespace mien::training
