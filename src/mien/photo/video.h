#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "mien/data/readers/image_io.h"

namespace mien::photo {

/// A video file or a camera, frame by frame.
class VideoSource {
 public:
  /// Throws Error(bad_data) for a file that is missing or no video that OpenCV reads.
  static VideoSource file(const std::filesystem::path& path);
  /// Throws Error(failed) where there is no such camera. A size of 0 leaves it to the camera.
  static VideoSource camera(int64_t number, int64_t width, int64_t height);
  ~VideoSource();
  VideoSource(VideoSource&&) noexcept;
  VideoSource& operator=(VideoSource&&) noexcept;

  /// The next frame into `frame`; false at the end.
  bool read(data::RgbImage& frame);
  /// Passes over the next frame without decoding its colors; false at the end.
  bool skip();
  double frames_per_second() const;  ///< as the file or camera says, 25 where it says nothing sensible
  int64_t frames() const;            ///< of a file, as its header says; 0 where unknown, and of a camera

 private:
  struct Impl;
  explicit VideoSource(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Writes a video: mp4 (MPEG-4), avi (Motion JPEG) or mkv by the ending of `path`, first beside it, and renamed by
/// `close`.
class VideoSink {
 public:
  /// Throws Error(usage) for another ending, Error(failed) if it cannot be written.
  VideoSink(const std::filesystem::path& path, double frames_per_second, int64_t height, int64_t width);
  ~VideoSink();
  VideoSink(const VideoSink&) = delete;
  VideoSink& operator=(const VideoSink&) = delete;

  /// `frame` has the sink's size.
  void write(const data::RgbImage& frame);
  void close();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Draws frames and words into video frames.
void draw_box(
    data::RgbImage& frame, double x, double y, double width, double height, const uint8_t* rgb, int thickness);
/// ASCII words on a plate of color `rgb` whose lower left corner is (x, y), moved inside the frame.
void draw_words(data::RgbImage& frame, const std::string& words, double x, double y, const uint8_t* rgb, double height);

/// A window of ffplay, which must be installed; no library of windows is linked. Closing it is no error.
class Window {
 public:
  /// Why there can be no window here; "" where there can.
  static std::string why_not();
  /// Throws Error(usage) with why_not().
  Window(const std::string& title, int64_t height, int64_t width);
  ~Window();
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;

  /// False once the user has closed the window.
  bool show(const data::RgbImage& frame);

 private:
  int pipe_ = -1;
  int process_ = -1;
};

}  // namespace mien::photo
