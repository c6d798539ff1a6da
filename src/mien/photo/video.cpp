#include "mien/photo/video.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <opencv2/core.hpp>
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgproc.hpp>
#include <opencv2/videoio.hpp>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mien/core/error.h"
#include "mien/core/text.h"

namespace mien::photo {
namespace {

namespace fs = std::filesystem;

constexpr double kUsualRate = 25;

void be_quiet() {
  static const auto kSilenced = cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
  static_cast<void>(kSilenced);
  // FFmpeg writes about damaged frames to the terminal itself; OpenCV reads this when it opens a file.
  ::setenv("OPENCV_FFMPEG_LOGLEVEL", "-8", 0);
}

cv::Mat view(data::RgbImage& frame) {
  return {static_cast<int>(frame.height), static_cast<int>(frame.width), CV_8UC3, frame.pixels.data()};
}

}  // namespace

struct VideoSource::Impl {
  cv::VideoCapture capture;
  cv::Mat bgr;
  bool is_camera = false;
};

VideoSource::VideoSource(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
VideoSource::~VideoSource() = default;
VideoSource::VideoSource(VideoSource&&) noexcept = default;
VideoSource& VideoSource::operator=(VideoSource&&) noexcept = default;

VideoSource VideoSource::file(const fs::path& path) {
  be_quiet();
  std::error_code error;
  if (!fs::exists(path, error)) throw_bad_data(fmt::format("cannot read {}: there is no such file", path.string()));
  if (!fs::is_regular_file(path, error))
    throw_bad_data(fmt::format("cannot read {}: it is no regular file, expected a video", path.string()));
  auto impl = std::make_unique<Impl>();
  try {
    impl->capture.open(path.string(), cv::CAP_FFMPEG);
  } catch (const cv::Exception&) {
    impl->capture.release();
  }
  if (!impl->capture.isOpened())
    throw_bad_data(fmt::format("cannot read {}: it is no video that OpenCV's FFmpeg decodes", path.string()),
                   "`mien photo` reads still pictures; ffmpeg -i FILE OUT.mp4 converts others");
  return VideoSource(std::move(impl));
}

VideoSource VideoSource::camera(int64_t number, int64_t width, int64_t height) {
  be_quiet();
  auto impl = std::make_unique<Impl>();
  impl->is_camera = true;
  try {
    impl->capture.open(static_cast<int>(number), cv::CAP_ANY);
  } catch (const cv::Exception&) {
    impl->capture.release();
  }
  if (!impl->capture.isOpened())
    throw_failed(fmt::format("cannot open camera {}", number),
                 "ls /dev/video* lists the cameras; the user must be in the group video");
  if (width > 0) impl->capture.set(cv::CAP_PROP_FRAME_WIDTH, static_cast<double>(width));
  if (height > 0) impl->capture.set(cv::CAP_PROP_FRAME_HEIGHT, static_cast<double>(height));
  impl->capture.set(cv::CAP_PROP_BUFFERSIZE, 1);
  return VideoSource(std::move(impl));
}

bool VideoSource::read(data::RgbImage& frame) {
  try {
    if (!impl_->capture.read(impl_->bgr) || impl_->bgr.empty()) return false;
    if (impl_->bgr.type() != CV_8UC3) return false;
    if (static_cast<int64_t>(impl_->bgr.total()) > data::kMostPixels)
      throw_bad_data(fmt::format("a frame has {}x{} pixels, expected {} million at most",
                                 impl_->bgr.cols,
                                 impl_->bgr.rows,
                                 data::kMostPixels / 1'000'000));
    frame.height = impl_->bgr.rows;
    frame.width = impl_->bgr.cols;
    frame.pixels.resize(impl_->bgr.total() * 3);
    cv::Mat rgb = view(frame);
    cv::cvtColor(impl_->bgr, rgb, cv::COLOR_BGR2RGB);
  } catch (const cv::Exception&) {
    return false;
  }
  return true;
}

bool VideoSource::skip() { return impl_->capture.grab(); }

double VideoSource::frames_per_second() const {
  const double rate = impl_->capture.get(cv::CAP_PROP_FPS);
  return std::isfinite(rate) && rate >= 1 && rate <= 240 ? rate : kUsualRate;
}

int64_t VideoSource::frames() const {
  if (impl_->is_camera) return 0;
  const double count = impl_->capture.get(cv::CAP_PROP_FRAME_COUNT);
  return std::isfinite(count) && count > 0 && count < 1e9 ? static_cast<int64_t>(count) : 0;
}

struct VideoSink::Impl {
  fs::path path;
  fs::path partial;
  cv::VideoWriter writer;
  cv::Size size;
  cv::Mat bgr;
};

VideoSink::VideoSink(const fs::path& path, double frames_per_second, int64_t height, int64_t width)
    : impl_(std::make_unique<Impl>()) {
  be_quiet();
  const std::string ending = lower(path.extension().string());
  const bool is_mpeg4 = ending == ".mp4" || ending == ".mkv";
  if (!is_mpeg4 && ending != ".avi")
    throw_usage(fmt::format("cannot write {}: a video ends in .mp4, .mkv or .avi", path.string()));
  impl_->path = path;
  std::error_code error;
  if (path.has_parent_path()) fs::create_directories(path.parent_path(), error);
  impl_->partial = path.parent_path() / fmt::format("{}.{}.partial{}", path.stem().string(), ::getpid(), ending);
  impl_->size = {static_cast<int>(width), static_cast<int>(height)};
  const int codec =
      is_mpeg4 ? cv::VideoWriter::fourcc('m', 'p', '4', 'v') : cv::VideoWriter::fourcc('M', 'J', 'P', 'G');
  bool opened = false;
  try {
    opened = impl_->writer.open(impl_->partial.string(), cv::CAP_FFMPEG, codec, frames_per_second, impl_->size);
  } catch (const cv::Exception&) {
    opened = false;
  }
  if (!opened)
    throw_failed(fmt::format("cannot write {}: OpenCV's FFmpeg does not open it", path.string()), "try .avi");
}

VideoSink::~VideoSink() {
  std::error_code ignored;
  impl_->writer.release();
  fs::remove(impl_->partial, ignored);
}

void VideoSink::write(const data::RgbImage& frame) {
  const cv::Mat rgb(static_cast<int>(frame.height),
                    static_cast<int>(frame.width),
                    CV_8UC3,
                    const_cast<uint8_t*>(frame.pixels.data()));
  cv::cvtColor(rgb, impl_->bgr, cv::COLOR_RGB2BGR);
  if (impl_->bgr.size() != impl_->size) cv::resize(impl_->bgr, impl_->bgr, impl_->size, 0, 0, cv::INTER_AREA);
  impl_->writer.write(impl_->bgr);
}

void VideoSink::close() {
  impl_->writer.release();
  std::error_code error;
  fs::rename(impl_->partial, impl_->path, error);
  if (error) throw_failed(fmt::format("cannot write {}: {}", impl_->path.string(), error.message()));
}

void draw_box(
    data::RgbImage& frame, double x, double y, double width, double height, const uint8_t* rgb, int thickness) {
  cv::Mat image = view(frame);
  const cv::Rect box(static_cast<int>(std::lround(x)),
                     static_cast<int>(std::lround(y)),
                     static_cast<int>(std::lround(width)),
                     static_cast<int>(std::lround(height)));
  cv::rectangle(image, box, cv::Scalar(255, 255, 255), thickness + 2);
  cv::rectangle(image, box, cv::Scalar(rgb[0], rgb[1], rgb[2]), thickness);
}

void draw_words(
    data::RgbImage& frame, const std::string& words, double x, double y, const uint8_t* rgb, double height) {
  cv::Mat image = view(frame);
  std::string ascii;
  for (const char c : words) {
    if ((static_cast<unsigned char>(c) & 0xc0) == 0x80) continue;  // the rest of a character beyond ASCII
    ascii += c >= ' ' && c <= '~' ? c : '?';
  }
  const int font = cv::FONT_HERSHEY_SIMPLEX;
  const int thickness = height >= 26 ? 2 : 1;
  const double scale = height / 30;
  int baseline = 0;
  const cv::Size size = cv::getTextSize(ascii, font, scale, thickness, &baseline);
  const int plate_width = size.width + 8;
  const int plate_height = size.height + baseline + 6;
  const int left = std::clamp(static_cast<int>(std::lround(x)), 0, std::max(0, image.cols - plate_width));
  const int top =
      std::clamp(static_cast<int>(std::lround(y)) - plate_height, 0, std::max(0, image.rows - plate_height));
  cv::rectangle(image, cv::Rect(left, top, plate_width, plate_height), cv::Scalar(rgb[0], rgb[1], rgb[2]), cv::FILLED);
  const double light = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
  const cv::Scalar ink = light > 140 ? cv::Scalar(0, 0, 0) : cv::Scalar(255, 255, 255);
  cv::putText(image, ascii, cv::Point(left + 4, top + 3 + size.height), font, scale, ink, thickness, cv::LINE_AA);
}

std::string Window::why_not() {
  const auto is_set = [](const char* name) { return std::getenv(name) != nullptr && *std::getenv(name) != '\0'; };
  if (!is_set("DISPLAY") && !is_set("WAYLAND_DISPLAY")) return "there is no display (DISPLAY is not set)";
  const char* const path = std::getenv("PATH");
  for (const std::string& folder : split(path == nullptr ? "" : path, ':')) {
    if (::access((fs::path(folder) / "ffplay").c_str(), X_OK) == 0) return "";
  }
  return "ffplay, which shows the window, is not installed (apt-get install ffmpeg)";
}

Window::Window(const std::string& title, int64_t height, int64_t width) {
  if (const std::string why = why_not(); !why.empty())
    throw_usage("--show: " + why, "without --show the video is written all the same");
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw_failed("cannot open a window: no pipe");
  const std::string size = fmt::format("{}x{}", width, height);
  const char* const words[] = {"ffplay",
                               "-loglevel",
                               "quiet",
                               "-fflags",
                               "nobuffer",
                               "-f",
                               "rawvideo",
                               "-pixel_format",
                               "rgb24",
                               "-video_size",
                               size.c_str(),
                               "-window_title",
                               title.c_str(),
                               "-i",
                               "pipe:0",
                               nullptr};
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO);
  const int problem = ::posix_spawnp(&process_, "ffplay", &actions, nullptr, const_cast<char* const*>(words), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(ends[0]);
  pipe_ = ends[1];
  if (problem != 0) process_ = -1;
  if (problem != 0) throw_failed(fmt::format("cannot open a window: {}", std::generic_category().message(problem)));
}

Window::~Window() {
  ::close(pipe_);
  if (process_ <= 0) return;
  ::kill(process_, SIGTERM);
  ::waitpid(process_, nullptr, 0);
}

bool Window::show(const data::RgbImage& frame) {
  const uint8_t* bytes = frame.pixels.data();
  size_t left = frame.pixels.size();
  while (left > 0) {
    // A closed window shall end the command, not the process by a signal.
    struct sigaction before {
    }, ignoring{};
    ignoring.sa_handler = SIG_IGN;
    ::sigaction(SIGPIPE, &ignoring, &before);
    const ssize_t written = ::write(pipe_, bytes, left);
    const int problem = errno;
    ::sigaction(SIGPIPE, &before, nullptr);
    if (written < 0 && problem == EINTR) continue;
    if (written <= 0) return false;
    bytes += written;
    left -= static_cast<size_t>(written);
  }
  return true;
}

}  // namespace mien::photo
