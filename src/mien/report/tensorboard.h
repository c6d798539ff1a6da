#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace mien::report {

/// Writes scalars as TensorBoard reads them: events.out.tfevents.SECONDS.HOST.PID.N in a run's folder.
/// @source tensorflow/core/util/event.proto and summary.proto (fields), tensorflow/core/lib/io/record_writer.cc
/// (framing)
class EventWriter {
 public:
  /// Starts a new file in `folder` (created if missing) and never touches those of earlier starts. A resumed run names
  /// its first step as `resumed_at`: TensorBoard then forgets what earlier files say of that step and later ones.
  /// Throws Error(failed) naming the file.
  explicit EventWriter(const std::filesystem::path& folder, std::optional<int64_t> resumed_at = std::nullopt);
  ~EventWriter();
  EventWriter(const EventWriter&) = delete;
  EventWriter& operator=(const EventWriter&) = delete;

  /// Adds a point to curve `tag` ("loss/train"), at `wall_time` (seconds since 1970) or now. Kept in memory until flush
  /// or 64 KiB. Throws Error(failed).
  void scalar(std::string_view tag, int64_t step, double value, std::optional<double> wall_time = std::nullopt);
  /// Hands everything to the file. Throws Error(failed) naming it and the system's reason.
  void flush();
  const std::filesystem::path& path() const { return path_; }

 private:
  void record(std::string_view event);

  std::filesystem::path path_;
  int file_ = -1;
  std::string buffer_;
};

}  // namespace mien::report
