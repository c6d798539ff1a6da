#include "mien/photo/watch_run.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/outputs.h"
#include "mien/core/text.h"
#include "mien/evaluation/predictions_csv.h"
#include "mien/photo/annotate.h"
#include "mien/photo/photo_run.h"
#include "mien/photo/video.h"
#include "mien/report/draw_or_warn.h"

namespace mien::photo {
namespace {

using Clock = std::chrono::steady_clock;

double milliseconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

/// "640x480"
std::pair<int64_t, int64_t> parse_size(const std::string& text) {
  if (text.empty()) return {0, 0};
  const size_t by = text.find('x');
  const auto width = parse_int(text.substr(0, by));
  const auto height = by == std::string::npos ? std::nullopt : parse_int(text.substr(by + 1));
  if (!width || !height || *width < 16 || *height < 16 || *width > 8192 || *height > 8192)
    throw_usage(fmt::format("--size is {}, expected WIDTHxHEIGHT such as 640x480", quote_sample(text)));
  return {*width, *height};
}

VideoSource open(const WatchOptions& options) {
  if (options.file.empty() == (options.camera < 0))
    throw_usage(
        options.file.empty() ? "nothing to watch is named" : "a file and a camera are named, expected one of them",
        "mien watch WEIGHTS video.mp4, or mien watch WEIGHTS --camera 0");
  if (!options.file.empty()) return VideoSource::file(options.file);
  const auto [width, height] = parse_size(options.size);
  return VideoSource::camera(options.camera, width, height);
}

void draw_face(data::RgbImage& frame, const TrackedFace& track, const std::vector<std::string>& classes) {
  const data::FaceBox& square = track.face.square;
  const bool is_reliable = track.face.quality.is_reliable();
  const int32_t label = track.predicted();
  const report::Color color = is_reliable ? class_color(label, classes.size()) : report::Color{107, 114, 128};
  const uint8_t rgb[3] = {color.red, color.green, color.blue};
  const double unit = std::max(1.0, static_cast<double>(std::max(frame.height, frame.width)) / 960);
  draw_box(frame, square.x, square.y, square.width, square.height, rgb, static_cast<int>(std::lround(2 * unit)));
  const std::string words = is_reliable
                                ? fmt::format("{} {} {:.0f} %",
                                              track.number,
                                              classes[static_cast<size_t>(label)],
                                              100 * track.probabilities[static_cast<size_t>(label)])
                                : fmt::format("{} not reliable: {}", track.number, track.face.quality.problems.front());
  draw_words(frame, words, square.x, square.y - 2, rgb, 18 * unit);
}

std::string csv_header(const std::vector<std::string>& classes) {
  std::string header = "frame,time,face,x,y,width,height,predicted,probability,frame_predicted,reliable,problems";
  for (const std::string& name : classes) header += "," + evaluation::csv_field("p_" + name);
  return header + "\n";
}

std::string csv_row(int64_t frame, double time, const TrackedFace& track, const std::vector<std::string>& classes) {
  const data::FaceBox& box = track.face.found.box;
  const auto name = [&](int32_t label) { return evaluation::csv_field(classes[static_cast<size_t>(label)]); };
  std::string row = fmt::format("{},{:.3f},{},{:.1f},{:.1f},{:.1f},{:.1f},{},{:.4f},{},{},{}",
                                frame,
                                time,
                                track.number,
                                box.x,
                                box.y,
                                box.width,
                                box.height,
                                name(track.predicted()),
                                track.probabilities[static_cast<size_t>(track.predicted())],
                                name(track.face.predicted),
                                track.face.quality.is_reliable() ? 1 : 0,
                                evaluation::csv_field(join(track.face.quality.problems, "; ")));
  for (const double probability : track.probabilities) row += fmt::format(",{:.5f}", probability);
  return row + "\n";
}

/// One pass over a video.
class Watch {
 public:
  Watch(const WatchOptions& options, ProgressListener& listener)
      : options_(options),
        listener_(listener),
        source_(open(options)),
        reader_(options.reader, listener),
        tracker_(options.tracker),
        rate_(source_.frames_per_second()),
        is_live_(options.live || options.camera >= 0) {
    csv_ = csv_header(reader_.class_names());
  }

  WatchSummary run() {
    const auto start = Clock::now();
    data::RgbImage frame;
    for (;;) {
      if (listener_.stop_requested()) break;
      const double time = static_cast<double>(index_) / rate_;
      if (options_.seconds > 0 && time >= options_.seconds) break;
      const auto before = Clock::now();
      if (!source_.read(frame)) break;
      const auto after = Clock::now();
      summary_.read_ms += milliseconds(before, after);
      if (!look(frame, time)) break;
      ++index_;
      if (is_live_ && !keep_pace(frame, start, before)) break;
      listener_.progress("watching",
                         index_,
                         std::max(source_.frames(), index_),
                         fmt::format("{} face{}", numbers_.size(), numbers_.size() == 1 ? "" : "s"));
    }
    return finish(start);
  }

 private:
  /// Finds, reads, follows and draws the faces of one frame; false when the window was closed.
  bool look(data::RgbImage& frame, double time) {
    const auto begin = Clock::now();
    const auto found = reader_.find(frame);
    const auto has_found = Clock::now();
    auto faces = reader_.read(frame, found);
    const auto has_read = Clock::now();
    const auto& classes = reader_.class_names();
    for (const TrackedFace& track : tracker_.update(time, std::move(faces))) {
      csv_ += csv_row(index_, time, track, classes);
      rows_.push_back({time, track.number, track.probabilities});
      numbers_.insert(track.number);
      draw_face(frame, track, classes);
    }
    const double spent = milliseconds(begin, has_read);
    pace_ms_ = pace_ms_ == 0 ? spent : 0.9 * pace_ms_ + 0.1 * spent;
    const uint8_t black[3] = {30, 30, 30};
    const std::string pace = fmt::format("{:.0f} frames/s", 1000 / std::max(pace_ms_, 0.1));
    draw_words(frame, pace, 0, static_cast<double>(frame.height), black, 16);
    const bool is_open = output(frame);
    const auto done = Clock::now();
    summary_.find_ms += milliseconds(begin, has_found);
    summary_.network_ms += milliseconds(has_found, has_read);
    summary_.output_ms += milliseconds(has_read, done);
    ++summary_.frames;
    return is_open;
  }

  bool output(const data::RgbImage& frame) {
    if (summary_.frames == 0) {
      summary_.height = frame.height;
      summary_.width = frame.width;
      if (options_.video != "none")
        sink_ = std::make_unique<VideoSink>(
            std::filesystem::path(options_.out) / ("video." + options_.video), rate_, frame.height, frame.width);
      if (options_.show) window_ = std::make_unique<Window>("mien watch", frame.height, frame.width);
    }
    if (sink_) sink_->write(frame);
    return !window_ || window_->show(frame);
  }

  /// Of a file that is watched live: waits for the next frame's time, or passes over frames that are late. Of a camera:
  /// over what came while this frame was looked at. The video repeats the last frame for them. False at the end.
  bool keep_pace(const data::RgbImage& frame, Clock::time_point start, Clock::time_point frame_begin) {
    const auto now = Clock::now();
    int64_t late = 0;
    if (options_.camera >= 0) {
      constexpr int64_t kBuffered = 4;  // frames that a camera's driver keeps
      late = std::min(kBuffered, static_cast<int64_t>(milliseconds(frame_begin, now) / 1000 * rate_) - 1);
    } else {
      const double ahead = static_cast<double>(index_) / rate_ - milliseconds(start, now) / 1000;
      if (ahead > 0) std::this_thread::sleep_for(std::chrono::duration<double>(ahead));
      late = static_cast<int64_t>(-ahead * rate_);
    }
    for (; late > 0; --late) {
      if (!source_.skip()) return false;
      if (sink_) sink_->write(frame);
      ++index_;
      ++summary_.dropped;
    }
    return true;
  }

  WatchSummary finish(Clock::time_point start) {
    if (summary_.frames == 0)
      throw_bad_data(fmt::format("cannot read {}: it has no frame that can be decoded",
                                 options_.file.empty() ? fmt::format("camera {}", options_.camera) : options_.file));
    const double seconds = milliseconds(start, Clock::now()) / 1000;
    const auto frames = static_cast<double>(summary_.frames);
    for (double* part : {&summary_.read_ms, &summary_.find_ms, &summary_.network_ms, &summary_.output_ms})
      *part /= frames;
    summary_.frames_per_second = frames / seconds;
    summary_.seconds = static_cast<double>(index_) / rate_;
    summary_.faces = static_cast<int64_t>(numbers_.size());
    if (sink_) sink_->close();
    const std::filesystem::path folder = options_.out;
    summary_.csv = folder / "timeline.csv";
    write_atomic(summary_.csv, csv_);
    report::draw_or_warn(listener_, [&] {
      if (!rows_.empty()) write_timeline(folder / "timeline.png", rows_, reader_.class_names());
    });
    return summary_;
  }

  const WatchOptions& options_;
  ProgressListener& listener_;
  VideoSource source_;
  FaceReader reader_;
  Tracker tracker_;
  double rate_;
  bool is_live_;
  std::unique_ptr<VideoSink> sink_;
  std::unique_ptr<Window> window_;
  std::string csv_;
  std::vector<TimelineRow> rows_;
  std::set<int64_t> numbers_;
  int64_t index_ = 0;  ///< of the next frame of the source
  double pace_ms_ = 0;
  WatchSummary summary_;
};

}  // namespace

WatchSummary watch_run(const WatchOptions& options, ProgressListener& listener) {
  FolderResult result{.command = "mien watch", .mark = "timeline.csv", .beginning = "frame,time,"};
  result.names = {"timeline.csv", "timeline.png", "video." + options.video};
  const std::array<std::filesystem::path, 1> inputs{options.file};
  check_folder_result(options.out, result, inputs, "--out");
  if (const std::string why = options.show ? Window::why_not() : std::string(); !why.empty())
    throw_usage("--show: " + why, "without --show the video is written all the same");
  return Watch(options, listener).run();
}

}  // namespace mien::photo
