#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "mien/core/options.h"
#include "mien/core/progress.h"
#include "mien/photo/face_reader.h"
#include "mien/photo/tracker.h"

namespace mien::photo {

/// Options of `mien watch`.
struct WatchOptions {
  FaceReaderOptions reader;
  std::string file;     ///< a video; empty: the camera
  int64_t camera = -1;  ///< number of a camera; -1: the file
  std::string size;     ///< "640x480", of a camera; empty: as it likes
  std::string out = "runs/watch";
  std::string video = "mp4";  ///< mp4, mkv, avi or none
  double seconds = 0;         ///< of video to look at; 0: all, of a camera until Ctrl-C
  bool live = false;          ///< of a file: as fast as it plays, dropping frames
  bool show = false;
  TrackerOptions tracker;
  int64_t threads = 0;

  void bind(OptionSet& options);
};

/// What came of a video, and how long each part took.
struct WatchSummary {
  int64_t frames = 0;   ///< looked at
  int64_t dropped = 0;  ///< passed over because they came too fast
  int64_t faces = 0;    ///< different ones, by their numbers
  int64_t height = 0, width = 0;
  double seconds = 0;                                              ///< of video
  double read_ms = 0, find_ms = 0, network_ms = 0, output_ms = 0;  ///< a frame, means
  double frames_per_second = 0;                                    ///< looked at in a second of work
  std::filesystem::path csv;

  std::string text() const;
  std::string json() const;
};

/// Reads a video's faces frame by frame and writes into `out` the annotated video (video.mp4), timeline.csv (a row a
/// face and frame: smoothed probabilities) and timeline.png. Ctrl-C ends it with what there is so far. Throws
/// Error(bad_data) for a file that is no video, Error(usage) unless exactly one of file and camera is named.
WatchSummary watch_run(const WatchOptions& options, ProgressListener& listener);

/// One row of the timeline.
struct TimelineRow {
  double time = 0;     ///< seconds
  int64_t number = 0;  ///< of the face
  std::vector<double> probabilities;
};

/// Probabilities over time, a chart a face: of those that were seen longest, six at most.
void write_timeline(const std::filesystem::path& path,
                    const std::vector<TimelineRow>& rows,
                    const std::vector<std::string>& class_names);

}  // namespace mien::photo
