#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mien/training/history.h"

namespace mien::report {

using EpochRow = training::EpochRow;

/// How a network's training went, under the name its curve is to have.
struct NamedHistory {
  std::string name;
  std::vector<EpochRow> rows;
};

/// Text of results.csv: `epoch,train_loss,train_accuracy,validation_loss,validation_accuracy,learning_rate,seconds`,
/// one line an epoch; a field is empty where its value is not finite. Finite numbers read back to the same bits.
std::string history_csv(std::span<const EpochRow> rows);

/// Reads what history_csv wrote; an empty field becomes NaN. Throws Error(bad_data) as "file:line: ..." for a header or
/// line of another form and for epochs that do not increase. `file` is the name used in messages.
std::vector<EpochRow> parse_history_csv(std::string_view text, const std::string& file);

/// The same for a file of at most 64 MiB. Throws Error(bad_data) if it is missing or larger.
std::vector<EpochRow> read_history_csv(const std::filesystem::path& path);

/// Position of the row of highest validation accuracy, the earliest of equals; nothing where no row has one.
std::optional<size_t> best_epoch(std::span<const EpochRow> rows);

}  // namespace mien::report
