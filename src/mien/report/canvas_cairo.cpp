// Measures text with Pango and paints a canvas with Cairo.
#include <algorithm>
#include <cmath>
#include <memory>

#include <cairo-pdf.h>
#include <cairo.h>
#include <fmt/format.h>
#include <pango/pangocairo.h>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/data/readers/image_io.h"
#include "mien/report/canvas.h"

namespace mien::report {
namespace {

constexpr int kPixelsPerUnit = 2;
constexpr double kMostPixels = 1e8;
constexpr double kLongestSide = 32767;  // of an image surface
constexpr double kPointsPerUnit = 0.75;

struct Release {
  void operator()(cairo_surface_t* surface) const { cairo_surface_destroy(surface); }
  void operator()(cairo_t* context) const { cairo_destroy(context); }
  void operator()(cairo_font_options_t* options) const { cairo_font_options_destroy(options); }
  void operator()(PangoLayout* layout) const { g_object_unref(layout); }
  void operator()(PangoContext* context) const { g_object_unref(context); }
  void operator()(PangoFontDescription* font) const { pango_font_description_free(font); }
};
template <class T>
using Owned = std::unique_ptr<T, Release>;

/// `words` ready to be measured or painted; the same at every scale, because nothing is hinted.
Owned<PangoLayout> layout_of(std::string_view words, double points, bool is_bold) {
  static thread_local const Owned<PangoContext> context = [] {
    Owned<PangoContext> made(pango_font_map_create_context(pango_cairo_font_map_get_default()));
    const Owned<cairo_font_options_t> options(cairo_font_options_create());
    cairo_font_options_set_hint_style(options.get(), CAIRO_HINT_STYLE_NONE);
    cairo_font_options_set_hint_metrics(options.get(), CAIRO_HINT_METRICS_OFF);
    cairo_font_options_set_antialias(options.get(), CAIRO_ANTIALIAS_GRAY);
    pango_cairo_context_set_font_options(made.get(), options.get());
    pango_cairo_context_set_resolution(made.get(), 96);
    pango_context_set_round_glyph_positions(made.get(), FALSE);
    return made;
  }();
  Owned<PangoLayout> layout(pango_layout_new(context.get()));
  const Owned<PangoFontDescription> font(pango_font_description_new());
  pango_font_description_set_family(font.get(), "DejaVu Sans");
  pango_font_description_set_weight(font.get(), is_bold ? PANGO_WEIGHT_BOLD : PANGO_WEIGHT_NORMAL);
  pango_font_description_set_absolute_size(font.get(), points * 4 / 3 * PANGO_SCALE);
  pango_layout_set_font_description(layout.get(), font.get());
  pango_layout_set_single_paragraph_mode(layout.get(), TRUE);
  pango_layout_set_text(layout.get(), words.data(), static_cast<int>(words.size()));
  return layout;
}

void set_color(cairo_t* cairo, const Color& color) {
  cairo_set_source_rgb(cairo, color.red / 255.0, color.green / 255.0, color.blue / 255.0);
}

void set_stroke(cairo_t* cairo, const Stroke& stroke) {
  set_color(cairo, stroke.color);
  cairo_set_line_width(cairo, stroke.width);
  const double dashes[] = {6, 4};
  cairo_set_dash(cairo, dashes, stroke.is_dashed ? 2 : 0, 0);
}

/// Fills and strokes the current path and forgets it.
void paint_path(cairo_t* cairo, const std::optional<Color>& fill, const std::optional<Stroke>& stroke) {
  if (fill) {
    set_color(cairo, *fill);
    cairo_fill_preserve(cairo);
  }
  if (stroke) {
    set_stroke(cairo, *stroke);
    cairo_stroke_preserve(cairo);
  }
  cairo_new_path(cairo);
}

Owned<cairo_surface_t> surface_of(const Raster& raster) {
  const auto width = static_cast<int>(raster.width);
  const auto height = static_cast<int>(raster.height);
  Owned<cairo_surface_t> surface(cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height));
  unsigned char* const bytes = cairo_image_surface_get_data(surface.get());
  if (bytes == nullptr) throw_failed(fmt::format("cannot draw a picture of {} x {} pixels", width, height));
  const int stride = cairo_image_surface_get_stride(surface.get());
  for (int64_t y = 0; y < height; ++y) {
    auto* const row = reinterpret_cast<uint32_t*>(bytes + y * stride);
    for (int64_t x = 0; x < width; ++x) {
      const Color color = raster.at(y, x);
      row[x] = static_cast<uint32_t>(color.red << 16 | color.green << 8 | color.blue);
    }
  }
  cairo_surface_mark_dirty(surface.get());
  return surface;
}

void paint(cairo_t* cairo, const Canvas::Shape& shape) {
  for (const Point& point : shape.points) cairo_line_to(cairo, point.x, point.y);
  if (shape.is_closed) cairo_close_path(cairo);
  paint_path(cairo, shape.fill, shape.stroke);
}

void paint(cairo_t* cairo, const Canvas::Circle& circle) {
  cairo_arc(cairo, circle.center.x, circle.center.y, circle.radius, 0, 2 * M_PI);
  paint_path(cairo, circle.fill, circle.stroke);
}

void paint(cairo_t* cairo, const Canvas::Picture& picture) {
  const Owned<cairo_surface_t> surface = surface_of(picture.raster);
  cairo_translate(cairo, picture.box.x, picture.box.y);
  cairo_scale(cairo,
              picture.box.width / static_cast<double>(picture.raster.width),
              picture.box.height / static_cast<double>(picture.raster.height));
  cairo_set_source_surface(cairo, surface.get(), 0, 0);
  cairo_pattern_set_filter(cairo_get_source(cairo), CAIRO_FILTER_NEAREST);
  cairo_paint(cairo);
}

void paint(cairo_t* cairo, const Canvas::Text& text) {
  const Owned<PangoLayout> layout = layout_of(text.words, text.style.points, text.style.is_bold);
  int width = 0;
  int height = 0;
  pango_layout_get_size(layout.get(), &width, &height);
  const double share = text.style.align == Align::left ? 0 : text.style.align == Align::center ? 0.5 : 1;
  cairo_translate(cairo, text.place.x, text.place.y);
  cairo_rotate(cairo, -text.style.degrees * M_PI / 180);
  cairo_translate(cairo, -share * width / PANGO_SCALE, -0.5 * height / PANGO_SCALE);
  set_color(cairo, text.style.color);
  cairo_move_to(cairo, 0, 0);
  pango_cairo_show_layout(cairo, layout.get());
  cairo_new_path(cairo);
}

void paint(cairo_surface_t* surface, const Canvas& canvas, double scale) {
  const Owned<cairo_t> cairo(cairo_create(surface));
  cairo_scale(cairo.get(), scale, scale);
  set_color(cairo.get(), {255, 255, 255});
  cairo_rectangle(cairo.get(), 0, 0, canvas.width(), canvas.height());
  cairo_fill(cairo.get());
  cairo_set_line_join(cairo.get(), CAIRO_LINE_JOIN_ROUND);
  for (const Canvas::Item& item : canvas.items()) {
    cairo_save(cairo.get());
    if (item.clip) {
      cairo_rectangle(cairo.get(), item.clip->x, item.clip->y, item.clip->width, item.clip->height);
      cairo_clip(cairo.get());
    }
    std::visit([&](const auto& what) { paint(cairo.get(), what); }, item.what);
    cairo_restore(cairo.get());
  }
  if (const cairo_status_t status = cairo_status(cairo.get()); status != CAIRO_STATUS_SUCCESS)
    throw_failed(fmt::format("cannot draw: {}", cairo_status_to_string(status)));
}

cairo_status_t append(void* text, const unsigned char* bytes, unsigned int count) {
  static_cast<std::string*>(text)->append(reinterpret_cast<const char*>(bytes), count);
  return CAIRO_STATUS_SUCCESS;
}

std::string png_of(cairo_surface_t* surface) {
  std::string bytes;
  const cairo_status_t status = cairo_surface_write_to_png_stream(surface, append, &bytes);
  if (status != CAIRO_STATUS_SUCCESS) throw_failed(fmt::format("cannot draw: {}", cairo_status_to_string(status)));
  return bytes;
}

std::string png_of(const Raster& raster) { return png_of(surface_of(raster).get()); }

double width_of(const Canvas::Text& text) { return text_width(text.words, text.style.points, text.style.is_bold); }

/// The page in pixels.
Owned<cairo_surface_t> painted_pixels(const Canvas& canvas) {
  const double width = std::ceil(kPixelsPerUnit * canvas.width());
  const double height = std::ceil(kPixelsPerUnit * canvas.height());
  if (!(width * height <= kMostPixels && std::max(width, height) <= kLongestSide)) {
    throw_usage(fmt::format("cannot draw a picture of {:.0f} x {:.0f} pixels, expected 100 million pixels at most and "
                            "{:.0f} in a row",
                            width,
                            height,
                            kLongestSide),
                "choose fewer pictures");
  }
  Owned<cairo_surface_t> surface(
      cairo_image_surface_create(CAIRO_FORMAT_RGB24, static_cast<int>(width), static_cast<int>(height)));
  paint(surface.get(), canvas, kPixelsPerUnit);
  cairo_surface_flush(surface.get());
  return surface;
}

std::string pdf_of(const Canvas& canvas) {
  std::string bytes;
  const Owned<cairo_surface_t> surface(cairo_pdf_surface_create_for_stream(
      append, &bytes, kPointsPerUnit * canvas.width(), kPointsPerUnit * canvas.height()));
  cairo_pdf_surface_set_metadata(surface.get(), CAIRO_PDF_METADATA_CREATE_DATE, "");  // else no two files are equal
  paint(surface.get(), canvas, kPointsPerUnit);
  cairo_surface_finish(surface.get());
  return bytes;
}

void write_jpeg(const std::filesystem::path& path, const Canvas& canvas) {
  const Owned<cairo_surface_t> surface = painted_pixels(canvas);
  const unsigned char* const bytes = cairo_image_surface_get_data(surface.get());
  const int64_t height = cairo_image_surface_get_height(surface.get());
  const int64_t width = cairo_image_surface_get_width(surface.get());
  const int64_t stride = cairo_image_surface_get_stride(surface.get());
  std::vector<uint8_t> pixels;
  pixels.reserve(static_cast<size_t>(3 * height * width));
  for (int64_t y = 0; y < height; ++y) {
    const auto* const row = reinterpret_cast<const uint32_t*>(bytes + y * stride);
    for (int64_t x = 0; x < width; ++x) {
      for (const int shift : {16, 8, 0}) pixels.push_back(static_cast<uint8_t>(row[x] >> shift));
    }
  }
  data::write_jpeg_rgb(path, pixels, height, width);
}

}  // namespace

bool can_draw() { return !pictures_are_off(); }

double text_width(std::string_view text, double points, bool is_bold) {
  if (text.empty()) return 0;
  const std::string words = is_utf8(text) ? std::string(text) : std::string(text.size(), '?');
  int width = 0;
  pango_layout_get_size(layout_of(words, points, is_bold).get(), &width, nullptr);
  return static_cast<double>(width) / PANGO_SCALE;
}

double line_height(double points) { return std::round(points * 4 / 3 * 1.35); }

std::string encoded_picture(const Canvas& canvas, std::string_view ending) {
  if (ending == ".png") return png_of(painted_pixels(canvas).get());
  if (ending == ".svg") return svg_text(canvas, png_of, width_of);
  if (ending == ".pdf") return pdf_of(canvas);
  throw_usage(fmt::format("cannot draw a picture with the ending {}, expected .png, .jpg, .svg or .pdf",
                          ending.empty() ? "''" : quote_sample(std::string(ending))));
}

void write_picture(const std::filesystem::path& path, const Canvas& canvas) {
  const std::string ending = path.extension().string();
  if (ending == ".jpg" || ending == ".jpeg") return write_jpeg(path, canvas);
  if (ending != ".png" && ending != ".svg" && ending != ".pdf") {
    throw_usage(fmt::format("cannot draw {}: its ending is {}, expected .png, .jpg, .svg or .pdf",
                            path.string(),
                            ending.empty() ? "missing" : quote_sample(ending)));
  }
  write_atomic(path, encoded_picture(canvas, ending));
}

}  // namespace mien::report
