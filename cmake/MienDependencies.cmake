# Everything Mien is built with. The packages of Debian 12 and later satisfy all of it (script/install-dependencies lists them).
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)

# Debian ships libtorch's CMake files; a python wheel's libtorch is found through CMAKE_PREFIX_PATH.
find_package(Torch REQUIRED)
add_library(mien_torch INTERFACE)
add_library(Mien::torch ALIAS mien_torch)
set_target_properties(mien_torch PROPERTIES EXPORT_NAME torch)
# An installed Mien asks the libtorch of the machine that it is used on (MienConfig.cmake.in).
target_link_libraries(mien_torch INTERFACE "$<BUILD_INTERFACE:${TORCH_LIBRARIES}>")
target_include_directories(mien_torch SYSTEM INTERFACE "$<BUILD_INTERFACE:${TORCH_INCLUDE_DIRS}>")
string(REPLACE " " ";" MIEN_TORCH_CXX_FLAGS "${TORCH_CXX_FLAGS}")
if(MIEN_TORCH_CXX_FLAGS)
  target_compile_options(mien_torch INTERFACE ${MIEN_TORCH_CXX_FLAGS})
endif()

# libtorch's at::parallel_for is an inline function that runs on one thread where its caller is compiled without OpenMP.
find_package(OpenMP REQUIRED COMPONENTS CXX)
target_compile_options(mien_torch INTERFACE ${OpenMP_CXX_FLAGS})
target_link_libraries(mien_torch INTERFACE OpenMP::OpenMP_CXX)

# ONNX files: their protobuf classes and checker, which Debian's libtorch is linked to as well.
find_package(Protobuf REQUIRED)
find_package(ONNX CONFIG REQUIRED)
set(MIEN_ONNX ONNX::onnx)
if(NOT TARGET ${MIEN_ONNX})
  set(MIEN_ONNX onnx)  # Debian 12
endif()

find_package(PkgConfig REQUIRED)
pkg_check_modules(httplib REQUIRED IMPORTED_TARGET cpp-httplib)
if(MIEN_WITH_VISION)
  find_package(OpenCV REQUIRED COMPONENTS core imgproc imgcodecs objdetect videoio)
  pkg_check_modules(pangocairo REQUIRED IMPORTED_TARGET pangocairo)
  find_package(JPEG REQUIRED)
  find_package(PNG REQUIRED)
endif()
if(MIEN_WITH_TESTS)
  find_package(GTest REQUIRED)
endif()
