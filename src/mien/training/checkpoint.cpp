#include "mien/training/checkpoint.h"

#include <cmath>
#include <cstring>
#include <limits>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
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

}  // namespace

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
  write_safetensors(file, arrays, {{"mien.checkpoint", to_json(state).dump()}});
}

std::optional<TrainingState> load_checkpoint(const std::filesystem::path& file,
                                             const std::string& fingerprint,
                                             const NamedTensors& tensors) {
  if (!std::filesystem::exists(file)) return std::nullopt;
  const std::string hint = "remove the checkpoint folder to start again from the first epoch";
  const SafetensorsFile stored = SafetensorsFile::open(file);
  const auto text = stored.metadata().find("mien.checkpoint");
  if (text == stored.metadata().end()) {
    throw_bad_data(fmt::format("cannot resume from {}: it is not a checkpoint of mien", file.string()), hint);
  }
  TrainingState state;
  try {
    state = from_json(json::parse(text->second));
  } catch (const json::exception&) {
    throw_bad_data(fmt::format("cannot resume from {}: its state is damaged", file.string()), hint);
  }
  if (state.fingerprint != fingerprint) {
    throw_usage(fmt::format("cannot resume from {}: it was made with other options or data", file.string()),
                "choose another --name, or remove the folder");
  }
  if (stored.arrays().size() != tensors.size()) {
    throw_bad_data(fmt::format("cannot resume from {}: it holds {} tensors, expected {}",
                               file.string(),
                               stored.arrays().size(),
                               tensors.size()),
                   hint);
  }
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : tensors) {
    const NamedArray* array = stored.find(name);
    if (array == nullptr || at::IntArrayRef(array->shape) != tensor.sizes()) {
      throw_bad_data(
          fmt::format("cannot resume from {}: tensor {} is missing or has another shape", file.string(), name), hint);
    }
    const auto values = stored.floats(name);
    at::Tensor copy = at::empty(tensor.sizes(), at::kFloat);
    std::memcpy(copy.data_ptr<float>(), values.data(), values.size_bytes());
    tensor.detach().copy_(copy);
  }
  return state;
}

}  // namespace mien::training
